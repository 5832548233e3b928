// The objects that the reflectors and streams of one API server share.
#pragma once

#include "probes/net/kubernetes/api.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>

#include <boost/asio/io_context.hpp>

namespace vitalsd::net::kubernetes {

/// Limits for a watch. Tests set shorter ones.
struct Timeouts {
  using Time = std::chrono::milliseconds;
  /// The maximum time without a byte of a response: connection, headers, the rest of a list.
  Time response = std::chrono::seconds(30);
  /// The maximum time without a byte of a watch before the reflector sends a new request. Most
  /// servers send a bookmark about every minute for a resource without changes.
  Time watch = std::chrono::seconds(100);
  /// The minimum time between the starts of two attempts. Each failure in a row doubles it, up to
  /// the maximum.
  Time min_delay = std::chrono::seconds(1);
  Time max_delay = std::chrono::seconds(10);
  /// The time without a byte after which the probes that use the resource fail. It is long enough
  /// for two bookmarks: a single missing bookmark is not a failure.
  Time stale = std::chrono::minutes(2);
  /// The time without a byte after which the readings of these probes are removed.
  Time expired = std::chrono::minutes(5);
};

struct ClientContext {
  asio::io_context& loop;
  TimerWheel& wheel;
  const Api& api;
  Timeouts timeouts{};
  bool watch_list = true;  ///< false after the server refused a WatchList request
  int running = 0;         ///< attempts and streams that have not unwound yet
};

}  // namespace vitalsd::net::kubernetes
