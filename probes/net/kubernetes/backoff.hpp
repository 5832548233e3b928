// The delay between attempts after failures in a row. Pure.
#pragma once

#include <chrono>
#include <optional>

namespace vitalsd::net::kubernetes {

/// Exponential backoff: the delay doubles with each failure in a row, up to a maximum.
class Backoff {
 public:
  using Delay = std::chrono::milliseconds;

  /// A server's Retry-After is honored up to this limit.
  static constexpr std::chrono::seconds kMaxRetryAfter{60};

  Backoff(Delay min, Delay max) : min_(min), max_(max) {}

  /// Counts a failure and returns the delay before the next attempt. `jitter` is a factor for the
  /// computed delay (1: none), so that clients that failed together do not retry together.
  /// `retry_after`, if the server sent one, is a lower bound to which jitter does not apply.
  Delay next(double jitter = 1, std::optional<std::chrono::seconds> retry_after = std::nullopt);

  /// Must be called after a success: the next failure starts again at the minimum.
  void reset() { failures_ = 0; }

 private:
  Delay min_;
  Delay max_;
  int failures_ = 0;  // in a row
};

}  // namespace vitalsd::net::kubernetes
