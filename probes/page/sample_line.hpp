// One sample line of the Prometheus text format 0.0.4 or of OpenMetrics 1.0, split into its parts
// without copying the line and without parsing the value. Pure.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vitalsd::page {

struct LineLabel {
  std::string_view name;
  std::string_view
      value;  ///< between the quotes, with its escapes, which are valid in both formats
  std::uint64_t hash = 0;  ///< of the name and the value
};

/// A set of label names in 64 bits. It may report a name that was not added, but never misses one
/// that was, so a line without any of the names is recognized at once.
class NameFilter {
 public:
  /// Returns false if the name has not been added before.
  bool add(std::string_view name) {
    const std::uint64_t before = std::exchange(bits_, bits_ | bit_of(name));
    return before == bits_;
  }
  /// Returns false if the two have no name in common.
  [[nodiscard]] bool overlaps(NameFilter other) const { return (bits_ & other.bits_) != 0; }

 private:
  static std::uint64_t bit_of(std::string_view name) {
    const auto byte = [](char c) -> std::uint32_t { return static_cast<unsigned char>(c); };
    const std::uint32_t key = static_cast<std::uint32_t>(name.size()) << 16U |
                              byte(name.front()) << 8U | byte(name.back());
    return std::uint64_t{1} << (key * 0x9e3779b1U >> 26U);
  }

  std::uint64_t bits_ = 0;
};

class SampleLine {
 public:
  static constexpr std::size_t kMaxLabels = 64;

  /// Returns false if the line is invalid: syntax, invalid UTF-8, NUL, more than kMaxLabels labels,
  /// a value or a timestamp that is not a decimal number. The views are valid until the next call;
  /// they refer to `line`, to previous lines and to this object. `line` has no newline. `follows`:
  /// the bytes of all lines since the last call without `follows` still exist. Adjacent lines have
  /// most labels in common; these are then compared and not parsed.
  bool parse(std::string_view line, bool follows = false);

  /// Characters of a quoted name that are only valid in quotes are replaced by '_'.
  [[nodiscard]] std::string_view name() const { return name_; }
  /// The labels with a value: a label with an empty value is the same as none.
  [[nodiscard]] std::span<const LineLabel> labels() const { return {labels_.data(), size_}; }
  /// Changes the name of a label.
  void rename(std::size_t label, std::string_view name);
  /// The names of the labels, before rename().
  [[nodiscard]] NameFilter names() const { return names_; }
  /// Whether two labels may have the same name.
  [[nodiscard]] bool may_repeat_name() const { return may_repeat_name_; }
  /// The text of all labels, if it is valid in both formats and has no blanks. Empty if there are
  /// none, or if the labels must be written one by one.
  [[nodiscard]] std::string_view label_text() const { return label_text_; }
  [[nodiscard]] std::string_view value() const { return value_; }
  /// The label_text() and the value, if the line has them as `a="b"} 1`; otherwise empty.
  [[nodiscard]] std::string_view label_text_and_value() const;
  [[nodiscard]] bool has_timestamp() const { return has_timestamp_; }

  /// Stores a text until the views become invalid.
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

 private:
  bool take_known_label(const char*& at, const char* end);
  // Each function parses from `at` and returns where it stopped; null if the line is invalid.
  const char* parse_labels(const char* at, const char* end);
  const char* parse_label(const char* at, const char* end);
  const char* parse_quoted(const char* at, const char* end, std::string_view& text);
  bool parse_end(const char* at, const char* end);

  std::string_view name_;
  std::string_view label_text_;
  std::string_view value_;
  std::array<LineLabel, kMaxLabels> labels_;
  std::size_t size_ = 0;   // of labels_
  std::size_t known_ = 0;  // the labels of the previous line, in labels_ from size_ on
  NameFilter names_;
  bool may_repeat_name_ = false;
  bool has_escapes_ = false;  // a backslash in the part that is being parsed
  bool verbatim_ = false;     // label_text_ can be used
  std::deque<std::string> texts_;
  bool has_timestamp_ = false;
};

/// Removes a metric name from the front of `text`: quoted, or [a-zA-Z_:][a-zA-Z0-9_:]*. Returns an
/// empty text if there is none.
std::string take_metric_name(std::string_view& text);

/// Unescapes the text of a HELP line. Only OpenMetrics has an escape for a quote.
std::string unescape_help(std::string_view text, bool openmetrics);

/// Whether the text is a decimal number in the syntax of both formats, or an infinity, or NaN.
bool is_number(std::string_view text);

}  // namespace vitalsd::page
