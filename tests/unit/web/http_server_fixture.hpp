// A running HTTP server and a client for its tests.
#pragma once

#include "exporter/web/http_server.hpp"

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "unit/support/loop.hpp"
#include "unit/support/web.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd::test {

namespace asio = boost::asio;
namespace beast = boost::beast;
using WebResponseMessage = beast::http::response<beast::http::string_body>;

/// A client whose operations have a time limit.
class WebClient {
 public:
  explicit WebClient(std::uint16_t port) : stream_(io_) {
    const asio::ip::tcp::endpoint server(asio::ip::address_v4::loopback(), port);
    wait([&] { return stream_.async_connect(server, asio::use_future); });
  }

  void send(std::string_view text) {
    wait([&] { return asio::async_write(stream_, asio::buffer(text), asio::use_future); });
  }
  WebResponseMessage receive(bool to_head = false) {
    beast::http::response_parser<beast::http::string_body> parser;
    parser.skip(to_head);
    parser.body_limit(boost::none);
    wait([&] { return beast::http::async_read(stream_, buffer_, parser, asio::use_future); });
    return parser.release();
  }
  WebResponseMessage get(std::string_view target, std::string_view headers = "") {
    send("GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(headers) + "\r\n");
    return receive();
  }
  /// Reads until the end of the stream. Returns whether the server has closed the connection.
  bool is_closed() {
    try {
      for (std::string rest(4096, '\0');;) {
        wait([&] { return stream_.async_read_some(asio::buffer(rest), asio::use_future); });
      }
    } catch (const boost::system::system_error& e) {
      return e.code() == asio::error::eof || e.code() == asio::error::connection_reset;
    }
  }

 private:
  template <class Start>
  void wait(Start&& start) {
    stream_.expires_after(test::kTimeLimit);
    auto result = start();
    io_.restart();
    io_.run();
    result.get();
  }

  asio::io_context io_{1};
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
};

/// Starts a server at its first use.
class HttpServerTest : public testing::Test {
 protected:
  WebClient connect() { return WebClient(port()); }

  std::uint16_t port() {
    if (!server) {
      server = std::make_unique<HttpServer>(daemon.options);
      server->start();
    }
    return server->port();
  }

  test::WebDaemon daemon;
  std::unique_ptr<HttpServer> server;
};

}  // namespace vitalsd::test
