// A client's connection, plain or TLS, with one interface for the HTTP server. Its coroutines are
// compiled once, in connection.cpp: templates over both kinds of streams would take longer to
// compile than the rest of the web module.
#pragma once

#include "config/files/small_file.hpp"
#include "exporter/web/options.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/system/error_code.hpp>

namespace vitalsd {

/// A TLS context from certificate files, which are read again when one of them changes.
class ServerTls {
 public:
  using Context = std::shared_ptr<boost::asio::ssl::context>;

  /// Throws std::exception if the files cannot be used. Blocks on them.
  ServerTls(boost::asio::io_context& loop, const WebOptions& options);
  /// Does not wait for a check of the files that hangs.
  ~ServerTls();
  ServerTls(const ServerTls&) = delete;
  ServerTls& operator=(const ServerTls&) = delete;

  /// Returns a context of the current files. If they cannot be used, or do not respond within a
  /// second, returns the context of the previous files.
  boost::asio::awaitable<Context> context();

 private:
  // The files and their versions when the context was made.
  struct Files {
    std::string certificate;
    std::string key;
    std::string client_ca;
    std::vector<config::FileVersion> versions;

    /// Returns a new context if the files have changed, otherwise null. Blocks.
    Context load_if_changed();
  };
  // Shared with the thread that checks the files.
  struct Link {
    std::mutex mutex;
    ServerTls* owner;  // null after its destruction
  };

  void look();

  boost::asio::io_context& loop_;
  Files files_;
  Context context_;
  bool is_looking_ = false;
  // Expires when a check hangs, and is cancelled at the end of the check.
  boost::asio::steady_timer looked_;
  std::shared_ptr<Link> link_;
};

class Connection {
 public:
  /// Uses TLS if `context` is not null.
  Connection(boost::asio::ip::tcp::socket socket,
             std::shared_ptr<boost::asio::ssl::context> context);
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  /// Sets the deadline to `time` from now. Pending operations fail when the deadline passes.
  void expires_after(std::chrono::milliseconds time) { tcp_.expires_after(time); }

  /// Throws if the handshake fails. Must be called for TLS only.
  boost::asio::awaitable<void> handshake();
  /// The number of bytes read; 0 and `error` at the end of the connection.
  boost::asio::awaitable<std::size_t> read_some(boost::asio::mutable_buffer into,
                                                boost::system::error_code& error);
  /// Writes all bytes, or throws.
  boost::asio::awaitable<void> write(boost::asio::const_buffer from);
  /// Tells the client that no more data follows, and discards what it still sends, up to 4 MiB.
  boost::asio::awaitable<void> shutdown();

 private:
  std::shared_ptr<boost::asio::ssl::context> context_;  // kept as long as the connection uses it
  boost::beast::tcp_stream tcp_;
  std::optional<boost::asio::ssl::stream<boost::beast::tcp_stream&>> tls_;
};

}  // namespace vitalsd
