// A time limit for a part of a run. Probe loop only.
#pragma once

#include "probes/net/timer_wheel.hpp"

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

namespace asio = boost::asio;

/// Runs `work` and returns true. Cancels it after `limit`, waits until it has unwound, and returns
/// false. Throws what `work` throws before that.
asio::awaitable<bool> within(TimerWheel& wheel, TimerWheel::Clock::duration limit,
                             asio::awaitable<void> work);

}  // namespace vitalsd::net
