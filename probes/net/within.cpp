#include "probes/net/within.hpp"

#include "probes/net/pause.hpp"

#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vitalsd::net {

asio::awaitable<bool> within(TimerWheel& wheel, TimerWheel::Clock::duration limit,
                             asio::awaitable<void> work) {
  const auto executor = co_await asio::this_coro::executor;
  // A cancellation of the caller ends both.
  const auto [order, failure, interruption] =
      co_await asio::experimental::make_parallel_group(
          asio::co_spawn(executor, std::move(work), asio::deferred),
          asio::co_spawn(executor, pause(wheel, limit), asio::deferred))
          .async_wait(asio::experimental::wait_for_one(), asio::use_awaitable);
  const bool in_time = order.front() == 0;
  if (const std::exception_ptr& error = in_time ? failure : interruption) {
    std::rethrow_exception(error);
  }
  co_return in_time;
}

}  // namespace vitalsd::net
