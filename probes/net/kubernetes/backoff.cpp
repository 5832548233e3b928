#include "probes/net/kubernetes/backoff.hpp"

#include <algorithm>

namespace vitalsd::net::kubernetes {

Backoff::Delay Backoff::next(double jitter, std::optional<std::chrono::seconds> retry_after) {
  constexpr int kMaxDoublings = 4;
  const Delay delay = std::min(min_ * (1 << std::min(failures_, kMaxDoublings)), max_);
  ++failures_;
  const auto jittered = std::chrono::duration_cast<Delay>(delay * jitter);
  const std::chrono::seconds requested = retry_after.value_or(std::chrono::seconds(0));
  return std::max<Delay>(jittered, std::min(requested, kMaxRetryAfter));
}

}  // namespace vitalsd::net::kubernetes
