// For how long data has been waiting to be stored, for servers that report only when they last
// stored data. On an idle server that time is long ago although no data waits. Pure.
#pragma once

#include <algorithm>
#include <chrono>
#include <optional>

namespace vitalsd {

class Backlog {
 public:
  using Clock = std::chrono::steady_clock;

  /// Records the observation of one run: whether data waits, and in `age` the seconds since the
  /// server last stored data. Returns the maximum time for which data has been waiting, in seconds.
  /// Until a run has found no waiting data, the maximum is `age`.
  double update(Clock::time_point now, bool waits, double age) {
    if (!waits) {
      empty_at_ = now;
      return 0;
    }
    age = std::max(age, 0.0);  // the server's clock may have been set back
    if (!empty_at_) return age;
    return std::min(age, std::chrono::duration<double>(now - *empty_at_).count());
  }

 private:
  std::optional<Clock::time_point> empty_at_;  // when a run last found no waiting data
};

}  // namespace vitalsd
