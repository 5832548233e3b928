// Whether this process may publish what it observes: for ever where there is one replica only, else
// until the end of its lease. Written by the election on the probe loop, asked by the web thread at
// each scrape, so that a process that was frozen is silent from its first answer on.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <limits>

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX

namespace vitalsd {

class Leadership {
 public:
  /// Goes on while the process, or the whole machine, sleeps.
  // NOLINTBEGIN(readability-identifier-naming): names that the standard asks of a clock
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
    return until == kForEver || Clock::now().time_since_epoch().count() < until;
  }

  void lead_until(Clock::time_point end) { until_ = end.time_since_epoch().count(); }
  void stand_by() { until_ = 0; }

 private:
  static constexpr std::int64_t kForEver = std::numeric_limits<std::int64_t>::max();
  std::atomic<std::int64_t> until_ = kForEver;
};

}  // namespace vitalsd
