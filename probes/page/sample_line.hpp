// One sample line of the Prometheus text format 0.0.4 or of OpenMetrics 1.0, taken apart without
// copying it and without parsing its value. Pure.
#pragma once

#include <deque>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::page {

struct LineLabel {
  std::string_view name;
  std::string_view
      value;  ///< between the quotes, with its escapes, which are valid in both formats
};

class SampleLine {
 public:
  static constexpr std::size_t kMaxLabels = 64;

  /// Returns false if the line is invalid: syntax, invalid UTF-8, NUL, more than kMaxLabels labels,
  /// a value or a timestamp that is not a decimal number. The views refer to `line` and to this
  /// object until the next call. `line` has no newline.
  bool parse(std::string_view line);

  /// Characters of a quoted name that are not valid in an unquoted one are replaced by '_'.
  [[nodiscard]] std::string_view name() const { return name_; }
  /// Without the empty ones: a label with an empty value is the same as none.
  [[nodiscard]] std::span<LineLabel> labels() { return labels_; }
  /// All labels as the line has them, if that text is valid in both formats and has no blanks.
  /// Empty if there are none, or if the labels must be written one by one.
  [[nodiscard]] std::string_view label_text() const { return label_text_; }
  [[nodiscard]] std::string_view value() const { return value_; }
  [[nodiscard]] bool has_timestamp() const { return has_timestamp_; }

  /// A text that lives as long as the views.
  std::string_view keep(std::string text) { return texts_.emplace_back(std::move(text)); }

 private:
  bool parse_labels();
  bool parse_label();
  bool parse_quoted(std::string_view& text);
  bool parse_end();
  bool skip_blanks();
  std::string_view take_word();

  std::string_view name_;
  std::string_view label_text_;
  std::string_view value_;
  std::vector<LineLabel> labels_;
  std::deque<std::string> texts_;
  std::string_view rest_;
  bool verbatim_ = true;  // label_text_ can be used
  bool has_timestamp_ = false;
};

/// Takes a metric name from the front of `text`: quoted, or [a-zA-Z_:][a-zA-Z0-9_:]*. Empty if
/// there is none.
std::string take_metric_name(std::string_view& text);

/// The text of a HELP line. A quote has an escape in OpenMetrics only.
std::string unescape_help(std::string_view text, bool openmetrics);

/// A decimal number in the syntax of both formats, or an infinity, or NaN.
bool is_number(std::string_view text);

}  // namespace vitalsd::page
