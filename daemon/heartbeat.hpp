// Whether the probe loop turns: the loop beats, any thread asks.
#pragma once

#include "probes/net/timer_wheel.hpp"

#include <atomic>
#include <chrono>

namespace vitalsd {

class Heartbeat {
 public:
  using Clock = std::chrono::steady_clock;
  /// Silence after which the loop counts as standing still.
  static constexpr std::chrono::seconds kPatience{5};

  /// Beats from now on, on the wheel's loop.
  explicit Heartbeat(net::TimerWheel& wheel) : wheel_(wheel), timer_([this] { beat(); }) { beat(); }

  [[nodiscard]] bool fresh() const {
    const Clock::time_point last{Clock::duration(last_.load())};
    return Clock::now() - last < kPatience;
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
