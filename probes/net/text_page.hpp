// A page in the Prometheus text format 0.0.4 that arrives in pieces. Splits it into samples, and
// parses the labels and the value of a sample. For readers that select a few families. Pure.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace vitalsd::net {

/// A label that the caller uses. `value` points into the line, or into `buffer` if it was escaped.
struct TextLabel {
  std::string_view name;
  std::string_view value{};
  std::string buffer{};
};

class TextPage {
 public:
  /// A line without its end.
  struct Line {
    std::string_view name;  ///< of the metric
    std::string_view rest;  ///< labels, value and timestamp
  };

  /// `name` ("/metrics/cadvisor") is for messages and must outlive the page.
  TextPage(std::string_view name, std::size_t max_mebibytes)
      : name_(name), max_bytes_(max_mebibytes << 20) {}

  /// Removes lines from the front of `piece` and returns the next sample, which is valid until the
  /// next call. Returns nothing when the piece is used up. Throws ProbeError(protocol) with the
  /// line number for a line longer than 64 KiB, a line without a name, and a page with more than
  /// `max_mebibytes`.
  std::optional<Line> next(std::string_view& piece);

  /// Sets the values of those `labels` that the line has, and returns the value of the sample,
  /// which may not be finite. Throws ProbeError(protocol) for an invalid line.
  double read(std::string_view rest, std::span<TextLabel> labels) const;

  /// Call it after the last piece. Throws ProbeError(protocol) if the page ends in the middle of a
  /// line.
  void finish();

  /// Throws ProbeError(protocol) with the number of the current line.
  [[noreturn]] void fail(const std::string& why) const;

 private:
  std::optional<std::string_view> next_line(std::string_view& piece);

  std::string_view name_;
  std::size_t max_bytes_;
  std::size_t size_ = 0;  // bytes of the page so far
  std::size_t line_number_ = 0;
  std::string partial_line_;  // until the rest of the line arrives
  bool is_returned_ = false;  // the last call returned partial_line_ as a complete line
};

}  // namespace vitalsd::net
