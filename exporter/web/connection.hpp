// One client's connection, plain or by TLS: to the HTTP server they are one kind of stream. It
// reads and writes in coroutines that are compiled once, in connection.cpp, since templates over
// streams of either kind cost more compilation than the rest of the web module.
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

/// Certificate files as a context, read anew when one of them changes.
class ServerTls {
 public:
  /// Throws std::exception where the files cannot be used.
  explicit ServerTls(const WebOptions& options) : options_(options) { load(); }

  std::shared_ptr<boost::asio::ssl::context> context();

 private:
  // What changes with a file, be it written or replaced.
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
  /// Speaks TLS where there is a context.
  Connection(boost::asio::ip::tcp::socket socket,
             std::shared_ptr<boost::asio::ssl::context> context);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// From now on; what is awaited then fails.
  void expires_after(std::chrono::milliseconds time) { tcp_.expires_after(time); }

  /// Throws where the client does not speak TLS as it should; of TLS only.
  boost::asio::awaitable<void> handshake();
  /// The number of bytes read; none and an error where there are no more.
  boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer into,
                                                boost::system::error_code& error);
  /// Writes all of it, or throws.
  boost::asio::awaitable<void> write(boost::asio::const_buffer from);
  /// Tells the client that nothing else comes.
  boost::asio::awaitable<void> shutdown();

 private:
  std::shared_ptr<boost::asio::ssl::context> context_;  // lives as long as the connection
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace vitalsd
