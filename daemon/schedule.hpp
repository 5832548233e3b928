// The due times of one probe: one in each interval, at a fixed phase. The phase depends on the
// probe's name only, so that 10,000 probes are spread evenly, and in the same way after every
// restart. Pure: it reads no clock and has no timer; the caller passes the time.
#pragma once

#include <chrono>
#include <cstdint>
#include <string_view>

namespace vitalsd {

class Schedule {
 public:
  using Clock = std::chrono::steady_clock;
  using Duration = std::chrono::milliseconds;

  /// `name` determines the phase.
  explicit Schedule(std::string_view name);

  /// Starts, or starts again after a reload: the first due time is at most `spread` after `now`,
  /// later ones follow the phase.
  void start(Clock::time_point now, Duration spread);

  /// Moves to the first due time after `now`. Returns the number of missed due times between the
  /// last one and `now`, which are not repeated. `timeout` is the timeout of a run: the second due
  /// time leaves enough time for the first run to finish.
  std::int64_t advance(Clock::time_point now, Duration interval, Duration timeout);

  /// The due time that start() or advance() computed last.
  [[nodiscard]] Clock::time_point next() const { return next_; }

 private:
  [[nodiscard]] Clock::duration offset_in(Duration length) const;

  double phase_;  // share of an interval, 0 to 1
  Clock::time_point next_{};
  bool is_in_phase_ = false;  // next_ follows the phase, so it is not the first due time
};

}  // namespace vitalsd
