// Runs several coroutines at once, for probes that check several objects.
#pragma once

#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

namespace asio = boost::asio;

/// Runs all tasks concurrently and returns when the last one has ended. Cancellation is passed to
/// every task. An exception does not stop the other tasks; when all have ended, the first exception
/// in the order of `tasks` is thrown. Tasks for parts of a probe therefore catch ProbeError
/// themselves.
asio::awaitable<void> concurrently(std::vector<asio::awaitable<void>> tasks);

}  // namespace vitalsd::net
