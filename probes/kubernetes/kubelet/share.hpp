// How much one counter grew while another one did: CPU in use over CPU there is, throttled periods
// over periods. Pure.
#pragma once

#include <chrono>
#include <optional>

namespace vitalsd::kubernetes {

class Share {
 public:
  using Clock = std::chrono::steady_clock;

  /// Kubelets look at their containers every ten to fifteen seconds: over less than a minute a
  /// difference of their counters says little.
  static constexpr std::chrono::seconds kWindow{60};

  /// What both counters were at a time. One that is less than before is that of another instance,
  /// with which all begins anew.
  void see(Clock::time_point now, double part, double whole) {
    if (!begun_ || part < part_ || whole < whole_) {
      begun_ = true;
      share_.reset();
    } else if (now - since_ < kWindow) {
      return;
    } else {
      share_ = whole > whole_ ? (part - part_) / (whole - whole_) : 0;
    }
    since_ = now;
    part_ = part;
    whole_ = whole;
  }

  /// Over the last whole window; nothing before the end of the first.
  [[nodiscard]] const std::optional<double>& share() const { return share_; }

 private:
  bool begun_ = false;
  Clock::time_point since_{};
  double part_ = 0;
  double whole_ = 0;
  std::optional<double> share_;
};

}  // namespace vitalsd::kubernetes
