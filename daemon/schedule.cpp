#include "daemon/schedule.hpp"

#include "probes/shard.hpp"

#include <algorithm>
#include <cmath>

namespace vitalsd {

Schedule::Schedule(std::string_view name)
    : phase_(std::ldexp(static_cast<double>(stable_hash(name)), -64)) {}

Schedule::Clock::duration Schedule::offset_in(Duration length) const {
  return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(length) *
                                                     phase_);
}

void Schedule::start(Clock::time_point now, Duration spread) {
  is_in_phase_ = false;
  next_ = now + offset_in(spread);
}

std::int64_t Schedule::advance(Clock::time_point now, Duration interval, Duration timeout) {
  const Clock::duration step = interval;
  Clock::time_point next = now - (now.time_since_epoch() - offset_in(interval)) % step + step;
  std::int64_t missed = 0;
  if (is_in_phase_) {
    missed = std::max<std::int64_t>((next - next_) / step - 1, 0);
  } else {
    // Skips a due time that would come during or right after the first run.
    if (next - now < std::max<Clock::duration>(step / 2, timeout)) next += step;
    is_in_phase_ = true;
  }
  next_ = next;
  return missed;
}

}  // namespace vitalsd
