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
  /// Does not wait for a look at the files that hangs.
  ~ServerTls();
  ServerTls(const ServerTls&) = delete;
  ServerTls& operator=(const ServerTls&) = delete;

  /// The context of the current files; of the previous ones if the current files cannot be used or
  /// do not respond within a second.
  boost::asio::awaitable<Context> context();

 private:
  // The files, as last used.
  struct Files {
    std::string certificate;
    std::string key;
    std::string client_ca;
    std::vector<config::FileVersion> versions;

    /// The context of files that have changed, else null. Blocks.
    Context load_if_changed();
  };
  // Shared with the thread that looks at the files.
  struct Link {
    std::mutex mutex;
    ServerTls* owner;  // null after its destruction
  };

  void look();

  boost::asio::io_context& loop_;
  Files files_;
  Context context_;
  bool is_looking_ = false;
  boost::asio::steady_timer looked_;  // expires when a look hangs, and is cancelled at its end
  std::shared_ptr<Link> link_;
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
