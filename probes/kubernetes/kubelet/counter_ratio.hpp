// The increase of one counter divided by the increase of another one: CPU time used by CPU time
// available, throttled periods by periods. Pure.
#pragma once

#include <chrono>
#include <optional>

namespace vitalsd::kubernetes {

class CounterRatio {
 public:
  using Clock = std::chrono::steady_clock;

  /// Kubelets read the counters of containers every 10 to 15 s, so a ratio over less than a minute
  /// is mostly noise.
  static constexpr std::chrono::seconds kWindow{60};

  /// Adds the values of both counters at one time. A counter that decreased belongs to a new
  /// instance of the container; the measurement restarts.
  void update(Clock::time_point now, double part, double whole) {
    if (!is_started_ || part < part_ || whole < whole_) {
      is_started_ = true;
      value_.reset();
    } else if (now - since_ < kWindow) {
      return;
    } else {
      value_ = whole > whole_ ? (part - part_) / (whole - whole_) : 0;
    }
    since_ = now;
    part_ = part;
    whole_ = whole;
  }

  /// The ratio over the last complete window; empty before the end of the first window.
  [[nodiscard]] const std::optional<double>& value() const { return value_; }

 private:
  bool is_started_ = false;
  Clock::time_point since_{};
  double part_ = 0;
  double whole_ = 0;
  std::optional<double> value_;
};

}  // namespace vitalsd::kubernetes
