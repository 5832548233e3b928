// An HTTP server that runs on the test's loop. It sends exactly the bytes that a script returns,
// and then closes the connection or keeps it open.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/buffer.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>

namespace vitalsd::test {

namespace asio = boost::asio;

class HttpScript {
 public:
  struct Reply {
    std::string bytes;
    bool stays = false;  ///< keeps the connection open and sends nothing more
  };
  /// Returns the reply to a request for `target`, "/path?query".
  using Script = std::function<Reply(const std::string& target)>;

  HttpScript(asio::io_context& loop, Script script)
      : acceptor_(loop, {asio::ip::address_v4::loopback(), 0}), script_(std::move(script)) {
    asio::co_spawn(loop, accept(), asio::detached);
  }
  ~HttpScript() { *alive_ = false; }
  HttpScript(const HttpScript&) = delete;
  HttpScript& operator=(const HttpScript&) = delete;

  [[nodiscard]] std::string url() const {
    return "http://127.0.0.1:" + std::to_string(acceptor_.local_endpoint().port());
  }

  std::vector<std::string> targets;  ///< of all requests so far, in order

 private:
  using Socket = asio::ip::tcp::socket;
  static constexpr auto kNoThrow = asio::as_tuple(asio::use_awaitable);

  asio::awaitable<void> accept() {
    const auto alive = alive_;
    while (true) {
      auto [error, socket] = co_await acceptor_.async_accept(kNoThrow);
      if (error || !*alive) co_return;
      asio::co_spawn(acceptor_.get_executor(), converse(std::move(socket), alive), asio::detached);
    }
  }

  asio::awaitable<void> converse(Socket socket, std::shared_ptr<bool> alive) {
    std::string request;
    const auto [error, size] = co_await asio::async_read_until(
        socket, asio::dynamic_buffer(request), "\r\n\r\n", kNoThrow);
    if (error || !*alive) co_return;
    const std::size_t begin = request.find(' ') + 1;
    targets.push_back(request.substr(begin, request.find(' ', begin) - begin));
    const Reply reply = script_(targets.back());
    co_await asio::async_write(socket, asio::buffer(reply.bytes), kNoThrow);
    if (!reply.stays) co_return;
    char byte = 0;  // the read returns when the client closes the connection
    co_await socket.async_read_some(asio::buffer(&byte, 1), kNoThrow);
  }

  asio::ip::tcp::acceptor acceptor_;
  Script script_;
  std::shared_ptr<bool> alive_ = std::make_shared<bool>(true);
};

/// A complete response. Each line of `headers` ends with CRLF.
inline std::string http_answer(int status, std::string_view body, std::string_view headers = "") {
  return "HTTP/1.1 " + std::to_string(status) +
         " Scripted\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
         std::string(headers) + "\r\n" + std::string(body);
}

/// The header of a chunked response, one chunk, and the final chunk.
inline std::string http_stream() { return "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"; }
inline std::string http_piece(std::string_view bytes) {
  std::string size;
  for (std::size_t rest = bytes.size(); rest > 0; rest /= 16) {
    size.insert(size.begin(), "0123456789abcdef"[rest % 16]);
  }
  return size + "\r\n" + std::string(bytes) + "\r\n";
}
inline std::string http_stream_end() { return "0\r\n\r\n"; }

}  // namespace vitalsd::test
