// The lines of a family while a page is read. Pure.
#pragma once

#include "exporter/model/sample_set.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace vitalsd::page {

/// As long as all lines are those of the page before, in the same order, they are compared with
/// them and not copied.
class FamilyLines {
 public:
  /// `previous`: the lines of the page before, which must outlive the object, or null.
  explicit FamilyLines(const FragmentFamily* previous) : previous_(previous) {}

  /// Adds a line with its newline.
  void add(std::string_view line) {
    ++count_;
    if (text_.empty() && previous_ != nullptr && previous_->lines.substr(same_).starts_with(line)) {
      same_ += line.size();
    } else {
      add_other(line);
    }
  }

  /// The number of lines.
  [[nodiscard]] std::size_t count() const { return count_; }

  /// The bytes of all lines.
  [[nodiscard]] std::size_t size() const { return text_.empty() ? same_ : text_.size(); }

  /// Replaces `size` bytes at `offset`.
  void replace(std::size_t offset, std::size_t size, std::string_view bytes);

  /// Removes all lines.
  void clear();

  /// Frees memory that the lines do not need.
  void shrink();

  /// Ends the object and returns the lines as a family: `previous` itself if it is the same.
  FragmentFamily take(const MetricRef& metric);

  /// Ends the object and returns the lines.
  std::string take_text();

 private:
  void add_other(std::string_view line);
  void copy_previous();

  const FragmentFamily* previous_;
  std::size_t same_ = 0;  // the lines begin with so many bytes of the previous ones
  std::string text_;      // all lines, once they differ
  std::size_t count_ = 0;
};

}  // namespace vitalsd::page
