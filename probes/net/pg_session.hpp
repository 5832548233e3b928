// A libpq connection and its socket on the probe loop. Shared by pg_login and pg_connection only.
#pragma once

#include "probes/error.hpp"
#include "probes/net/socket_input.hpp"

#include <cstdint>
#include <memory>
#include <string>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <libpq-fe.h>

namespace vitalsd::net {

namespace asio = boost::asio;

struct PgSession {
  using Descriptor = asio::posix::stream_descriptor;

  explicit PgSession(asio::io_context& loop) : descriptor(loop) {}
  ~PgSession() {
    // libpq closes the socket.
    if (descriptor.is_open()) descriptor.release();
  }
  PgSession(const PgSession&) = delete;
  PgSession& operator=(const PgSession&) = delete;

  asio::awaitable<void> wait(Descriptor::wait_type what) {
    const auto [error] = co_await descriptor.async_wait(what, asio::as_tuple(asio::use_awaitable));
    if (error) fail_with(Reason::connect, "waiting for the server", error);
  }

  /// Bytes that have arrived. A Unix socket has no counter, so its unread bytes are added up: must
  /// be called each time before libpq reads.
  std::uint64_t received() {
    const int socket = PQsocket(connection.get());
    const std::uint64_t counted = bytes_received(socket);
    return counted > 0 ? counted : unix_bytes += unread_bytes(socket);
  }

  std::shared_ptr<PGconn> connection;  // an abandoned thread may still use it
  std::string password;
  Descriptor descriptor;
  std::uint64_t unix_bytes = 0;
};

}  // namespace vitalsd::net
