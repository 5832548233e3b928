// Measures how long the handlers of a loop occupy it.
#pragma once

#include "probes/net/cpu_time.hpp"

#include <algorithm>
#include <chrono>

#include "unit/support/loop.hpp"
#include <boost/asio/io_context.hpp>

namespace vitalsd::test {

/// Runs `loop` until `condition` holds, at most kTimeLimit. Returns the CPU time of the longest
/// handler, which does not depend on other processes.
template <class Condition>
std::chrono::nanoseconds longest_turn(asio::io_context& loop, const Condition& condition) {
  std::chrono::nanoseconds longest{0};
  const auto deadline = Clock::now() + kTimeLimit;
  while (!condition() && Clock::now() < deadline) {
    const auto begun = net::thread_cpu_time();
    loop.restart();
    loop.run_one_until(std::min(deadline, Clock::now() + std::chrono::milliseconds(5)));
    longest = std::max(longest, net::thread_cpu_time() - begun);
  }
  return longest;
}

}  // namespace vitalsd::test
