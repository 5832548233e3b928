// The process on the probe loop from its start to its end: signals, the tick of each second, and
// the end, in which every owner of something that takes time is stopped and asked whether it is
// idle. Probe loop only.
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
  /// SIGTERM or SIGINT comes to the end of the loop within this time, whatever hangs.
  static constexpr std::chrono::milliseconds kMaxShutdown{5'000};

  struct Events {
    std::function<void()> tick;                      ///< once a second
    std::function<void()> reload;                    ///< SIGHUP
    std::function<void(std::string_view)> stopping;  ///< by that signal; before the owners
  };

  /// Something that takes time to end.
  struct Owner {
    std::function<void()> stop;
    std::function<bool()> idle;
    /// How long the owners after it wait for it to become idle, before they are stopped as well.
    std::chrono::milliseconds patience{0};
  };

  /// `owners` in the order in which they are stopped.
  Lifecycle(boost::asio::io_context& loop, net::TimerWheel& wheel, Events events,
            std::vector<Owner> owners, std::chrono::milliseconds max_shutdown = kMaxShutdown);
  Lifecycle(const Lifecycle&) = delete;
  Lifecycle& operator=(const Lifecycle&) = delete;

  /// Handles signals and ticks from now on, until the loop is stopped because of a signal.
  void begin();

  [[nodiscard]] bool stopping() const { return stopping_; }
  /// Whether no owner has anything under way.
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
  std::size_t stopped_ = 0;  // so many owners
  Clock::time_point go_on_by_{};
  Clock::time_point end_by_{};
};

}  // namespace vitalsd
