// Several coroutines at once, for probes that watch several objects.
#pragma once

#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

namespace asio = boost::asio;

/// Runs all tasks at the same time and returns when the last one has ended. Cancellation reaches
/// every task. A task that throws leaves the others alone; the first exception is thrown at the
/// end, so tasks that belong to parts catch ProbeError themselves.
asio::awaitable<void> concurrently(std::vector<asio::awaitable<void>> tasks);

}  // namespace vitalsd::net
