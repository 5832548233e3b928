// Suspends a coroutine for a time. Probe loop only.
#pragma once

#include "probes/net/pending.hpp"
#include "probes/net/timer_wheel.hpp"

#include <memory>
#include <utility>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

/// Returns after `duration`, or throws when the coroutine is cancelled.
inline asio::awaitable<void> pause(TimerWheel& wheel, TimerWheel::Clock::duration duration) {
  std::shared_ptr<Pending<bool>> waiting;
  Timer timer([&] { waiting->succeed(true); });
  const auto start = [&](std::shared_ptr<Pending<bool>> pending) {
    waiting = std::move(pending);
    wheel.arm_after(timer, duration);
  };
  co_await Pending<bool>::wait(start);
}

}  // namespace vitalsd::net
