#include "probes/page/family_lines.hpp"

#include <memory>
#include <utility>

namespace vitalsd::page {

void FamilyLines::copy_previous() {
  if (!text_.empty() || previous_ == nullptr) return;
  const std::string_view lines = previous_->lines;
  text_.reserve(lines.size() + lines.size() / 16);
  text_ = lines.substr(0, same_);
}

void FamilyLines::add_other(std::string_view line) {
  copy_previous();
  text_ += line;
}

void FamilyLines::replace(std::size_t offset, std::size_t size, std::string_view bytes) {
  copy_previous();
  text_.replace(offset, size, bytes);
}

void FamilyLines::clear() {
  same_ = count_ = 0;
  text_ = {};
}

void FamilyLines::shrink() {
  if (text_.capacity() > text_.size() + text_.size() / 4) text_.shrink_to_fit();
}

FragmentFamily FamilyLines::take(const MetricRef& metric) {
  if (previous_ != nullptr && previous_->metric == metric) {
    const bool is_same =
        text_.empty() ? same_ == previous_->lines.size() : text_ == previous_->lines;
    if (is_same) return *previous_;
  }
  const auto keeper = std::make_shared<const std::string>(take_text());
  return {metric, *keeper, keeper};
}

std::string FamilyLines::take_text() {
  if (text_.empty() && previous_ != nullptr) text_ = previous_->lines.substr(0, same_);
  shrink();
  return std::move(text_);
}

}  // namespace vitalsd::page
