// Waiting for a while, in a coroutine. Cancellation ends it.
#pragma once

#include "probes/net/pending.hpp"
#include "probes/net/timer_wheel.hpp"

#include <memory>
#include <utility>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

inline asio::awaitable<void> pause(TimerWheel& wheel, TimerWheel::Clock::duration length) {
  std::shared_ptr<Pending<bool>> waiting;
  Timer timer([&] { waiting->succeed(true); });
  const auto begin = [&](std::shared_ptr<Pending<bool>> pending) {
    waiting = std::move(pending);
    wheel.arm_after(timer, length);
  };
  co_await Pending<bool>::wait(begin);
}

}  // namespace vitalsd::net
