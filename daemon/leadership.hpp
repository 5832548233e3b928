// Whether this process may publish: always without leader election, otherwise until its lease
// expires. The election writes it on the probe loop. The web thread reads it for each scrape, so a
// process that was suspended beyond its lease publishes no page.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX

namespace vitalsd {

class Leadership {
 public:
  /// CLOCK_BOOTTIME, which also advances while the process or the machine is suspended.
  /// NOLINTBEGIN(readability-identifier-naming): names that the standard requires of a clock
  struct Clock {
    using rep = std::int64_t;
    using period = std::nano;
    using duration = std::chrono::nanoseconds;
    using time_point = std::chrono::time_point<Clock>;
    static constexpr bool is_steady = true;
    // NOLINTEND(readability-identifier-naming)
    static time_point now() {
      timespec time{};
      clock_gettime(CLOCK_BOOTTIME, &time);
      return time_point(std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec));
    }
  };

  [[nodiscard]] bool leads() const {
    const std::int64_t until = until_;
    return until == kAlways || Clock::now().time_since_epoch().count() < until;
  }

  void lead_until(Clock::time_point end) { until_ = end.time_since_epoch().count(); }
  void stand_by() { until_ = 0; }

 private:
  static constexpr std::int64_t kAlways = std::numeric_limits<std::int64_t>::max();
  std::atomic<std::int64_t> until_ = kAlways;
};

}  // namespace vitalsd
