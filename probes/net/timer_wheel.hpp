// All timers of the probe loop: due times, deadlines, expiries, timeouts of libraries. Time is
// divided into slots, and one wake-up serves all timers of a slot. With many probes this needs half
// the CPU time of one Asio timer each. A timer fires up to one slot late, never early. Probe loop
// only.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/steady_timer.hpp>

namespace vitalsd::net {

class TimerWheel;

/// One timer. Its owner keeps it as a member; destroying it disarms it.
class Timer {
 public:
  /// `fire` is called on the loop when the timer is due. It may re-arm or destroy the timer.
  explicit Timer(std::function<void()> fire) : fire_(std::move(fire)) {}
  ~Timer() { disarm(); }
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;

  void disarm();
  [[nodiscard]] bool armed() const { return wheel_ != nullptr; }

 private:
  friend class TimerWheel;
  std::function<void()> fire_;
  TimerWheel* wheel_ = nullptr;
  Timer* previous_ = nullptr;  // doubly linked list of a slot
  Timer* next_ = nullptr;
  std::uint64_t tick_ = 0;
};

class TimerWheel {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kSlot{25};

  /// `slots` is the number of slots in one turn of the wheel, a multiple of 64. A timer that is due
  /// later than one turn stays in its slot for several turns.
  explicit TimerWheel(boost::asio::io_context& loop, std::size_t slots = 4096);  // 102 s
  ~TimerWheel();
  TimerWheel(const TimerWheel&) = delete;
  TimerWheel& operator=(const TimerWheel&) = delete;

  /// Arms or re-arms `timer` for the first slot that does not start before `when`.
  void arm(Timer& timer, Clock::time_point when);
  void arm_after(Timer& timer, Clock::duration delay) { arm(timer, Clock::now() + delay); }

  /// After this call no timer fires.
  void stop();

  /// Called at each wake-up with its delay, which is the loop's lag.
  std::function<void(Clock::duration)> on_lag;

 private:
  friend class Timer;
  static constexpr std::size_t kBits = 64;  // of one element of occupied_

  struct Slot {
    Timer* first = nullptr;
  };

  void unlink(Timer& timer);
  void link(Slot& slot, Timer& timer);
  void wake_at(std::uint64_t tick);
  void serve();
  void fire_slot(std::uint64_t tick);
  [[nodiscard]] std::uint64_t next_occupied(std::uint64_t from) const;
  [[nodiscard]] Clock::time_point time_of(std::uint64_t tick) const;
  [[nodiscard]] std::uint64_t tick_before(Clock::time_point when) const;

  boost::asio::steady_timer alarm_;
  Clock::time_point start_;
  std::vector<Slot> slots_;
  std::vector<std::uint64_t> occupied_;  // one bit per slot
  Slot firing_;                          // due timers of the slot that is being served
  std::uint64_t served_ = 0;             // the last tick that has been served
  std::uint64_t alarm_tick_ = 0;
  std::size_t armed_ = 0;
  bool alarm_set_ = false;
  bool serving_ = false;
  bool stopped_ = false;
};

}  // namespace vitalsd::net
