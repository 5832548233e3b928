// Tells any thread whether the probe loop is responsive. The loop updates a timestamp twice a
// second.
#pragma once

#include "probes/net/timer_wheel.hpp"

#include <atomic>
#include <chrono>

namespace vitalsd {

class Heartbeat {
 public:
  using Clock = std::chrono::steady_clock;
  /// The loop is considered to hang when its last beat is older than this.
  static constexpr std::chrono::seconds kMaxAge{5};

  /// Starts beating on the loop of `wheel`.
  explicit Heartbeat(net::TimerWheel& wheel) : wheel_(wheel), timer_([this] { beat(); }) { beat(); }

  [[nodiscard]] bool is_recent() const {
    const Clock::time_point last{Clock::duration(last_.load())};
    return Clock::now() - last < kMaxAge;
  }

 private:
  void beat() {
    last_ = Clock::now().time_since_epoch().count();
    wheel_.arm_after(timer_, std::chrono::milliseconds(500));
  }

  net::TimerWheel& wheel_;
  net::Timer timer_;
  std::atomic<Clock::rep> last_{};
};

}  // namespace vitalsd
