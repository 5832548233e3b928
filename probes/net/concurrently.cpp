#include "probes/net/concurrently.hpp"

#include <cstddef>
#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace vitalsd::net {

asio::awaitable<void> concurrently(std::vector<asio::awaitable<void>> tasks) {
  if (tasks.empty()) co_return;
  const auto executor = co_await asio::this_coro::executor;
  const auto start = [&](asio::awaitable<void> task) {
    return asio::co_spawn(executor, std::move(task), asio::deferred);
  };
  std::vector<decltype(start(std::move(tasks.front())))> operations;
  operations.reserve(tasks.size());
  for (asio::awaitable<void>& task : tasks) operations.push_back(start(std::move(task)));
  auto group = asio::experimental::make_parallel_group(std::move(operations));
  const auto [order, errors] =
      co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  for (const std::exception_ptr& error : errors) {
    if (error) std::rethrow_exception(error);
  }
}

}  // namespace vitalsd::net
