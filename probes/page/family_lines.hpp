// The lines of a family while a page is read. Pure.
#pragma once

#include "exporter/model/sample_set.hpp"

#include <cstddef>
#include <string>
#include <string_view>

namespace vitalsd::page {

/// As long as all lines equal those of the previous page, in the same order, they are only compared
/// with them and not copied.
class FamilyLines {
 public:
  /// `previous`: the lines of the previous page, which must outlive the object, or null.
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

  /// Returns the lines as a family: `previous` itself if it is the same. The object must not be
  /// used afterwards.
  FragmentFamily take(const MetricRef& metric);

  /// Returns the lines. The object must not be used afterwards.
  std::string take_text();

 private:
  void add_other(std::string_view line);
  void copy_previous();

  const FragmentFamily* previous_;
  std::size_t same_ = 0;  // the number of bytes in which the lines equal the previous ones so far
  std::string text_;      // all lines, after the first difference
  std::size_t count_ = 0;
};

}  // namespace vitalsd::page
