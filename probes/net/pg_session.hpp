// A libpq connection and its socket on the probe loop. Shared by pg_login and pg_connection only.
#pragma once

#include "probes/error.hpp"
#include "probes/net/socket_input.hpp"

#include <algorithm>
#include <cstddef>
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
    // libpq closes the socket, so Asio must not.
    if (descriptor.is_open()) descriptor.release();
  }
  PgSession(const PgSession&) = delete;
  PgSession& operator=(const PgSession&) = delete;

  asio::awaitable<void> wait(Descriptor::wait_type what) {
    const auto [error] = co_await descriptor.async_wait(what, asio::as_tuple(asio::use_awaitable));
    if (error) fail_with(Reason::connect, "waiting for the server", error);
  }

  [[nodiscard]] std::size_t unread() const { return unread_bytes(PQsocket(connection.get())); }

  /// The number of bytes that have arrived. A Unix socket has no counter, so has_read() adds up
  /// what libpq reads from it.
  [[nodiscard]] std::uint64_t received() const {
    const std::uint64_t counted = bytes_received(PQsocket(connection.get()));
    return counted > 0 ? counted : unix_bytes + unread();
  }

  /// Records that libpq has read once, when `before` bytes were unread. libpq reads at least
  /// kMinRead bytes, if as many have arrived in the meantime.
  void has_read(std::size_t before) {
    // libpq's buffer has at least this much free space before each read
    constexpr std::size_t kMinRead = 8192;
    const std::size_t after = std::min(before, unread());
    unix_bytes += std::max(before - after, std::min(before, kMinRead));
  }

  std::shared_ptr<PGconn> connection;  // an abandoned thread may still use it
  std::string password;
  Descriptor descriptor;
  std::uint64_t unix_bytes = 0;
};

}  // namespace vitalsd::net
