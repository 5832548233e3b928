#include "probes/bucket/usage.hpp"

#include <chrono>

namespace vitalsd::bucket {

bool Usage::add(const net::S3Page& page, std::int64_t max_pages) {
  for (const net::S3Object& object : page.objects) {
    ++objects_;
    bytes_ += static_cast<double>(object.size);
  }
  ++pages_;
  continuation_ = page.continuation;
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  ended_at_ = std::chrono::duration<double>(now).count();
  return continuation_.empty() || pages_ >= max_pages;
}

}  // namespace vitalsd::bucket
