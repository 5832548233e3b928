// Requests and responses over real sockets. routes_test covers the responses of each URL.
#include "exporter/web/http_server.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "unit/support/no_descriptors.hpp"
#include "unit/web/http_server_fixture.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using Client = test::WebClient;
using Response = test::WebResponseMessage;
using test::HttpServerTest;

TEST_F(HttpServerTest, SendsTheRightHeaders) {
  Client client = connect();
  const Response response = client.get("/metrics", "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(response.result_int(), 200U);
  EXPECT_EQ(response[http::field::content_type], "text/plain; version=0.0.4; charset=utf-8");
  EXPECT_EQ(response[http::field::content_encoding], "gzip");
  EXPECT_EQ(response[http::field::vary], "Accept, Accept-Encoding");
  EXPECT_EQ(response["X-Content-Type-Options"], "nosniff");
  EXPECT_EQ(response.body().size(), daemon.scraped_bytes);
  EXPECT_EQ(daemon.requests, 1);
}

// Probes with a thousand connections may leave no descriptor for a scrape.
TEST_F(HttpServerTest, AnswersWithoutAFreeDescriptor) {
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
  asio::io_context loop;
  std::vector<tcp::socket> clients;
  for (int i = 0; i < 3; ++i) clients.emplace_back(loop, tcp::v4());
  const tcp::endpoint endpoint(asio::ip::address_v4::loopback(), port());
  const test::NoDescriptors none;
  for (tcp::socket& client : clients) {
    client.connect(endpoint);
    asio::write(client, asio::buffer(std::string_view(
                            "GET /metrics HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
    std::string response;
    boost::system::error_code end;
    asio::read(client, asio::dynamic_buffer(response), end);
    EXPECT_TRUE(response.starts_with("HTTP/1.1 200 OK\r\n")) << response;
  }
}

TEST_F(HttpServerTest, KeepsConnectionsAlive) {
  Client client = connect();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
  client.send("GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\nGET /-/ready HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.receive().body(), "vitalsd is healthy.\n");
  EXPECT_EQ(client.receive().body(), "vitalsd is ready.\n");
}

TEST_F(HttpServerTest, KeepsHttp10ConnectionsAliveOnRequest) {
  Client client = connect();
  for (int i = 0; i < 2; ++i) {
    client.send("GET /-/healthy HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    const Response response = client.receive();
    EXPECT_EQ(response.version(), 10U);
    EXPECT_EQ(response[http::field::connection], "keep-alive");
  }
}

TEST_F(HttpServerTest, AcceptsRequestsInPieces) {
  Client client = connect();
  const std::string_view request =
      "POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc";
  for (const char& c : request) client.send({&c, 1});
  EXPECT_EQ(client.receive().result_int(), 405U);
  // The second request is incomplete when the server responds to the first.
  client.send("GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\nGET /-/re");
  EXPECT_EQ(client.receive().body(), "vitalsd is healthy.\n");
  client.send("ady HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_EQ(client.receive().body(), "vitalsd is ready.\n");
}

TEST_F(HttpServerTest, ClosesConnectionsOnRequest) {
  Client client = connect();
  EXPECT_EQ(client.get("/-/healthy", "Connection: close\r\n").result_int(), 200U);
  EXPECT_TRUE(client.is_closed());
  Client old = connect();
  old.send("GET /-/healthy HTTP/1.0\r\n\r\n");
  EXPECT_EQ(old.receive().result_int(), 200U);
  EXPECT_TRUE(old.is_closed());
}

TEST_F(HttpServerTest, SendsNoBodyForHead) {
  Client client = connect();
  client.send("HEAD /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n");
  const Response response = client.receive(true);
  EXPECT_EQ(response[http::field::content_length], "20");
  EXPECT_EQ(response.body(), "");
  EXPECT_EQ(client.get("/-/healthy").body().size(), 20U);
}

TEST_F(HttpServerTest, SkipsTheBodyOfARequest) {
  Client client = connect();
  client.send("POST /metrics HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(client.receive().result_int(), 405U);
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
}

}  // namespace
}  // namespace vitalsd
