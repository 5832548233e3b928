#include "probes/net/timer_wheel.hpp"

#include <algorithm>
#include <bit>
#include <cassert>
#include <utility>

namespace vitalsd::net {

void Timer::disarm() {
  if (wheel_ != nullptr) wheel_->unlink(*this);
}

TimerWheel::TimerWheel(boost::asio::io_context& loop, std::size_t slots)
    : alarm_(loop), start_(Clock::now()), slots_(slots), occupied_(slots / kBits) {
  assert(slots > 0 && slots % kBits == 0);
}

TimerWheel::~TimerWheel() {
  for (Slot& slot : slots_) {
    while (slot.first != nullptr) unlink(*slot.first);
  }
}

TimerWheel::Clock::time_point TimerWheel::time_of(std::uint64_t tick) const {
  return start_ + tick * kSlot;
}

std::uint64_t TimerWheel::tick_before(Clock::time_point when) const {
  return when <= start_ ? 0 : static_cast<std::uint64_t>((when - start_) / kSlot);
}

void TimerWheel::link(Slot& slot, Timer& timer) {
  timer.previous_ = nullptr;
  timer.next_ = slot.first;
  if (slot.first != nullptr) slot.first->previous_ = &timer;
  slot.first = &timer;
}

void TimerWheel::arm(Timer& timer, Clock::time_point when) {
  timer.disarm();
  if (stopped_) return;
  std::uint64_t tick = tick_before(when);
  if (time_of(tick) < when) ++tick;
  // In a tick that has been served or is being served, the timer would wait for a complete turn of
  // the wheel.
  tick = std::max(tick, served_ + 1);
  timer.wheel_ = this;
  timer.tick_ = tick;
  const std::size_t index = tick % slots_.size();
  link(slots_[index], timer);
  occupied_[index / kBits] |= std::uint64_t{1} << (index % kBits);
  ++armed_;
  if (!serving_) wake_at(tick);
}

void TimerWheel::unlink(Timer& timer) {
  const std::size_t index = timer.tick_ % slots_.size();
  if (timer.previous_ != nullptr) {
    timer.previous_->next_ = timer.next_;
  } else if (firing_.first == &timer) {
    firing_.first = timer.next_;
  } else {
    slots_[index].first = timer.next_;
  }
  if (timer.next_ != nullptr) timer.next_->previous_ = timer.previous_;
  if (slots_[index].first == nullptr) {
    occupied_[index / kBits] &= ~(std::uint64_t{1} << (index % kBits));
  }
  timer.wheel_ = nullptr;
  timer.previous_ = timer.next_ = nullptr;
  --armed_;
}

// Returns the first tick at or after `from`, within one turn, whose slot has timers.
std::uint64_t TimerWheel::next_occupied(std::uint64_t from) const {
  for (std::uint64_t tick = from; tick < from + slots_.size();) {
    const std::size_t index = tick % slots_.size();
    const std::uint64_t bits = occupied_[index / kBits] >> (index % kBits);
    if (bits != 0) return tick + static_cast<std::uint64_t>(std::countr_zero(bits));
    tick += kBits - index % kBits;
  }
  return from + slots_.size();
}

void TimerWheel::wake_at(std::uint64_t tick) {
  if (alarm_set_ && alarm_tick_ <= tick) return;
  alarm_set_ = false;  // until the wait has started, which may fail without memory
  alarm_.expires_at(time_of(tick));
  alarm_.async_wait([this](const boost::system::error_code& error) {
    if (error) return;  // re-armed for an earlier tick, or stopped
    alarm_set_ = false;
    serve();
  });
  alarm_set_ = true;
  alarm_tick_ = tick;
}

void TimerWheel::serve() {
  const Clock::time_point now = Clock::now();
  if (on_lag) on_lag(now - time_of(alarm_tick_));
  const std::uint64_t last = tick_before(now);
  serving_ = true;
  while (!stopped_ && armed_ > 0) {
    const std::uint64_t tick = next_occupied(served_ + 1);
    if (tick > last) break;
    served_ = tick;
    fire_slot(tick);
  }
  served_ = std::max(served_, last);
  serving_ = false;
  if (!stopped_ && armed_ > 0) wake_at(next_occupied(served_ + 1));
}

void TimerWheel::fire_slot(std::uint64_t tick) {
  // Due timers are moved to a separate list first, because their functions may arm and disarm any
  // other timer.
  for (Timer* timer = slots_[tick % slots_.size()].first; timer != nullptr;) {
    Timer* const next = timer->next_;
    if (timer->tick_ <= tick) {
      unlink(*timer);
      timer->wheel_ = this;
      ++armed_;
      link(firing_, *timer);
    }
    timer = next;
  }
  while (!stopped_ && firing_.first != nullptr) {
    Timer& timer = *firing_.first;
    unlink(timer);
    // Calls a copy, because the call may destroy the timer together with its function.
    const std::function<void()> fire = timer.fire_;
    fire();
  }
}

void TimerWheel::stop() {
  stopped_ = true;
  alarm_.cancel();
}

}  // namespace vitalsd::net
