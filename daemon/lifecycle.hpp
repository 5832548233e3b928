// Handles signals, calls a tick every second, and shuts down: stops the owners of asynchronous work
// in order, and ends the loop when all of them are idle or the time is over. Probe loop only.
#pragma once

#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace vitalsd {

class Lifecycle {
 public:
  /// The loop ends within this time after SIGTERM or SIGINT, even if an owner hangs.
  static constexpr std::chrono::milliseconds kMaxShutdown{5'000};

  struct Events {
    std::function<void()> tick;    ///< once a second
    std::function<void()> reload;  ///< SIGHUP
    std::function<void(std::string_view)>
        stopping;  ///< with the signal's name; before the owners are stopped
  };

  /// A component whose work takes time to stop.
  struct Owner {
    std::function<void()> stop;
    std::function<bool()> idle;
    /// The maximum time for which the next owner waits until this one is idle.
    std::chrono::milliseconds max_wait{0};
  };

  /// `owners` are stopped in this order.
  Lifecycle(boost::asio::io_context& loop, net::TimerWheel& wheel, Events events,
            std::vector<Owner> owners, std::chrono::milliseconds max_shutdown = kMaxShutdown);
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

  /// Starts handling signals and ticking.
  void start();

  [[nodiscard]] bool stopping() const { return stopping_; }
  /// Whether all owners are idle.
  [[nodiscard]] bool idle() const;

 private:
  using Clock = net::TimerWheel::Clock;

  void await_signal();
  void tick();
  void stop(std::string_view signal);
  void stop_next();

  boost::asio::io_context& loop_;
  net::TimerWheel& wheel_;
  Events events_;
  std::vector<Owner> owners_;
  std::chrono::milliseconds max_shutdown_;
  boost::asio::signal_set signals_;
  net::Timer tick_timer_;
  net::Timer stop_timer_;
  bool stopping_ = false;
  std::size_t stopped_count_ = 0;  // of owners_
  Clock::time_point next_stop_by_{};
  Clock::time_point end_by_{};
};

}  // namespace vitalsd
