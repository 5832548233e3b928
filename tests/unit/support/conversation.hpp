// A TCP server for any protocol. It runs on the test's loop and runs a coroutine of the test for
// each connection.
#pragma once

#include <array>
#include <atomic>
#include <cctype>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd::test {

namespace asio = boost::asio;

/// The server's side of one connection. When the connection is closed, the pending operation throws
/// system_error. This ends the script, and the server catches the exception.
class Line {
 public:
  explicit Line(asio::ip::tcp::socket socket) : socket_(std::move(socket)) {}

  /// Returns all data up to and including `delimiter`.
  asio::awaitable<std::string> read_until(std::string_view delimiter) {
    const std::size_t size = co_await asio::async_read_until(socket_, asio::dynamic_buffer(buffer_),
                                                             delimiter, asio::use_awaitable);
    co_return take(size);
  }
  /// Returns exactly `size` bytes.
  asio::awaitable<std::string> read(std::size_t size) {
    if (buffer_.size() < size) {
      co_await asio::async_read(socket_, asio::dynamic_buffer(buffer_),
                                asio::transfer_at_least(size - buffer_.size()),
                                asio::use_awaitable);
    }
    co_return take(size);
  }
  asio::awaitable<void> write(std::string bytes) {
    co_await asio::async_write(socket_, asio::buffer(bytes), asio::use_awaitable);
  }
  /// Sends nothing, and discards received data, until the client closes the connection.
  asio::awaitable<void> discard_input() {
    std::array<char, 4096> ignored{};
    for (;;) co_await socket_.async_read_some(asio::buffer(ignored), asio::use_awaitable);
  }

 private:
  std::string take(std::size_t size) {
    std::string out = buffer_.substr(0, size);
    buffer_.erase(0, size);
    return out;
  }

  asio::ip::tcp::socket socket_;
  std::string buffer_;
};

/// Returns true if ::1 is available on this machine.
inline bool has_ipv6() {
  asio::io_context loop;
  boost::system::error_code error;
  asio::ip::tcp::acceptor acceptor(loop);
  acceptor.open(asio::ip::tcp::v6(), error);
  if (!error) acceptor.bind({asio::ip::address_v6::loopback(), 0}, error);
  return !error;
}

/// A bound port without a listener. No other socket can listen on it until this object is
/// destroyed.
class ClosedPort {
 public:
  ClosedPort() {
    socket_.open(asio::ip::tcp::v4());
    socket_.bind({asio::ip::address_v4::loopback(), 0});
  }
  [[nodiscard]] std::string endpoint() const {
    return "127.0.0.1:" + std::to_string(socket_.local_endpoint().port());
  }

 private:
  asio::io_context loop_;  // never runs
  asio::ip::tcp::socket socket_{loop_};
};

/// The server. It runs `script` on each connection, and accepts connections until it is destroyed.
class Conversation {
 public:
  using Script = std::function<asio::awaitable<void>(Line&)>;

  Conversation(asio::io_context& loop, Script script,
               const asio::ip::address& address = asio::ip::address_v4::loopback())
      : Conversation(asio::ip::tcp::acceptor(loop, {address, 0}), std::move(script)) {}
  Conversation(asio::ip::tcp::acceptor acceptor, Script script)
      : state_(std::make_shared<State>(std::move(acceptor), std::move(script))) {
    asio::co_spawn(state_->acceptor.get_executor(), accept(state_), asio::detached);
  }
  ~Conversation() {
    boost::system::error_code ignored;
    state_->acceptor.close(ignored);
  }
  Conversation(const Conversation&) = delete;
  Conversation& operator=(const Conversation&) = delete;

  [[nodiscard]] std::uint16_t port() const { return state_->acceptor.local_endpoint().port(); }
  /// The address and port: "127.0.0.1:4711" or "[::1]:4711".
  [[nodiscard]] std::string endpoint() const {
    const auto at = state_->acceptor.local_endpoint();
    const std::string host = at.address().to_string();
    return (at.address().is_v6() ? '[' + host + ']' : host) + ':' + std::to_string(at.port());
  }
  /// The number of accepted connections. Can be called on any thread.
  [[nodiscard]] int accepted() const { return state_->accepted; }

 private:
  struct State {
    asio::ip::tcp::acceptor acceptor;
    Script script;
    std::atomic<int> accepted = 0;
  };

  static asio::awaitable<void> accept(std::shared_ptr<State> state) {
    try {
      for (;;) {
        Line line(co_await state->acceptor.async_accept(asio::use_awaitable));
        ++state->accepted;
        asio::co_spawn(state->acceptor.get_executor(), converse(state, std::move(line)),
                       asio::detached);
      }
    } catch (const boost::system::system_error&) {
      co_return;  // the acceptor is closed
    }
  }
  static asio::awaitable<void> converse(std::shared_ptr<State> state, Line line) {
    try {
      co_await state->script(line);
    } catch (const boost::system::system_error&) {
      co_return;  // the client has closed the connection
    }
  }

  std::shared_ptr<State> state_;
};

/// A received request.
struct HttpCall {
  std::string method;
  std::string target;
  std::string head;  ///< includes the request line
  std::string body;

  /// Returns the value of a header, or an empty string if the header is missing. `name` must be in
  /// lower case.
  [[nodiscard]] std::string header(std::string_view name) const {
    std::string lower;
    for (const char c : head) lower += static_cast<char>(std::tolower(c));
    const std::string front = "\r\n" + std::string(name) + ": ";
    const std::size_t at = lower.find(front);
    if (at == std::string::npos) return "";
    const std::size_t begin = at + front.size();
    return head.substr(begin, head.find("\r\n", begin) - begin);
  }
};

/// Reads one request. The body is read only if the request has a Content-Length.
inline asio::awaitable<HttpCall> read_http(Line& line) {
  HttpCall call;
  call.head = co_await line.read_until("\r\n\r\n");
  const std::size_t space = call.head.find(' ');
  call.method = call.head.substr(0, space);
  call.target = call.head.substr(space + 1, call.head.find(' ', space + 1) - space - 1);
  const std::string length = call.header("content-length");
  if (!length.empty()) call.body = co_await line.read(std::stoul(length));
  co_return call;
}

}  // namespace vitalsd::test
