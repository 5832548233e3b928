// A client's connection, plain or TLS, with one interface for the HTTP server. Its coroutines are
// compiled once, in connection.cpp: templates over both kinds of streams would take longer to
// compile than the rest of the web module.
#pragma once

#include "exporter/web/options.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/system/error_code.hpp>

namespace vitalsd {

/// A TLS context from certificate files, which are read again when one of them changes.
class ServerTls {
 public:
  /// Throws std::exception if the files cannot be used.
  explicit ServerTls(const WebOptions& options) : options_(options) { load(); }

  /// The context of the current files; of the previous ones if the current files cannot be used.
  std::shared_ptr<boost::asio::ssl::context> context();

 private:
  // The metadata that changes when a file is written or replaced.
  struct Stamp {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t size = 0;
    std::int64_t modified_ns = 0;
    std::int64_t changed_ns = 0;
    bool operator==(const Stamp&) const = default;
  };

  [[nodiscard]] std::vector<Stamp> stamps() const;
  void load();

  const WebOptions& options_;
  std::shared_ptr<boost::asio::ssl::context> context_;
  std::vector<Stamp> loaded_;
};

class Connection {
 public:
  /// Uses TLS if `context` is not null.
  Connection(boost::asio::ip::tcp::socket socket,
             std::shared_ptr<boost::asio::ssl::context> context);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sets the deadline to `time` from now. Operations that are pending then fail.
  void expires_after(std::chrono::milliseconds time) { tcp_.expires_after(time); }

  /// Throws if the handshake fails. Must be called for TLS only.
  boost::asio::awaitable<void> handshake();
  /// The number of bytes read; 0 and `error` at the end of the connection.
  boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer into,
                                                boost::system::error_code& error);
  /// Writes all bytes, or throws.
  boost::asio::awaitable<void> write(boost::asio::const_buffer from);
  /// Tells the client that no more data follows.
  boost::asio::awaitable<void> shutdown();

 private:
  std::shared_ptr<boost::asio::ssl::context> context_;  // kept as long as the connection uses it
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace vitalsd
