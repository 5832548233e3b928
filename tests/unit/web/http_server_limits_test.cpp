// Clients that misbehave or take too long.
#include "exporter/web/http_server.hpp"

#include <chrono>
#include <cstddef>
#include <iterator>
#include <list>
#include <string>
#include <string_view>
#include <thread>
#include <utility>

#include "unit/support/loop.hpp"
#include "unit/support/memory.hpp"
#include "unit/web/http_server_fixture.hpp"
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using namespace std::chrono_literals;
using Client = test::WebClient;
using Response = test::WebResponseMessage;
using test::HttpServerTest;

TEST_F(HttpServerTest, RefusesHugeHeaders) {
  Client client = connect();
  client.send("GET / HTTP/1.1\r\nX: " + std::string(daemon.options.max_header_bytes, 'x'));
  EXPECT_EQ(client.receive().result_int(), 431U);
  EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpServerTest, RefusesHugeBodies) {
  Client client = connect();
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(client.receive().result_int(), 413U);
  EXPECT_TRUE(client.is_closed());
}

// Most clients read the response only after they have sent the whole request.
TEST_F(HttpServerTest, ClientsThatStillSendGetTheRefusal) {
  constexpr std::size_t kSize = std::size_t{3} << 20;
  Client client = connect();
  client.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kSize) +
              "\r\n\r\n" + std::string(kSize, 'x'));
  EXPECT_EQ(client.receive().result_int(), 413U);
  EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpServerTest, RefusesGarbage) {
  for (const char* garbage : {"\x16\x03\x01 TLS to a plain port\r\n\r\n", "GET\r\n\r\n",
                              "GET / HTTP/9.9\r\n\r\n", "GET / HTTP/1.1\r\nno colon\r\n\r\n"}) {
    Client client = connect();
    client.send(garbage);
    EXPECT_EQ(client.receive().result_int(), 400U) << garbage;
    EXPECT_TRUE(client.is_closed());
  }
}

TEST_F(HttpServerTest, RefusesAmbiguousRequests) {
  const std::pair<std::string_view, unsigned> cases[] = {
      {"GET /metrics HTTP/1.1\r\n\r\n", 400},
      {"GET /metrics HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"GET /metrics HTTP/1.0\r\nHost: a\r\nHost: b\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: identity\r\n\r\n", 501},
      {"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
       "0\r\n\r\n",
       400},
      {"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: xchunked\r\nContent-Length: 3\r\n\r\nabc",
       400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 18446744073709551617\r\n\r\nx", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: +1\r\n\r\nx", 400},
      {"POST / HTTP/1.1\r\nHost: h\r\nExpect: a miracle\r\nContent-Length: 1\r\n\r\n", 417},
  };
  for (const auto& [request, status] : cases) {
    Client client = connect();
    client.send(request);
    EXPECT_EQ(client.receive().result_int(), status) << request;
    EXPECT_TRUE(client.is_closed()) << request;
  }
  Client client = connect();
  client.send(
      "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: Chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().result_int(), 405U);
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
}

TEST_F(HttpServerTest, SendsContinueToClientsThatExpectIt) {
  Client client = connect();
  client.send(
      "POST /metrics HTTP/1.1\r\nHost: h\r\nExpect: 100-Continue\r\nContent-Length: 3\r\n\r\n");
  EXPECT_EQ(client.receive(true).result_int(), 100U);
  client.send("abc");
  EXPECT_EQ(client.receive().result_int(), 405U);
  // If the body is already there, no 100 response is necessary.
  client.send("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc");
  EXPECT_EQ(client.receive().result_int(), 405U);
}

TEST_F(HttpServerTest, AcceptsAnAbsoluteUrlAsTarget) {
  Client client = connect();
  EXPECT_TRUE(client.get("http://h/metrics").body().contains("connections"));
}

TEST_F(HttpServerTest, ClosesConnectionsWithoutARequest) {
  daemon.options.request_timeout = 50ms;
  Client silent = connect();
  Client slow = connect();
  slow.send("GET /-/heal");
  EXPECT_TRUE(silent.is_closed());
  EXPECT_TRUE(slow.is_closed());
}

TEST_F(HttpServerTest, ClosesIdleConnections) {
  daemon.options.idle_timeout = 50ms;
  Client client = connect();
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
  EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpServerTest, ClosesConnectionsThatDoNotRead) {
  daemon.options.max_connections = 1;
  daemon.options.response_timeout = 50ms;
  daemon.views.resize(20'000);  // a page larger than all socket buffers
  Client non_reader = connect();
  non_reader.send("GET / HTTP/1.1\r\nHost: h\r\n\r\n");
  // While the server sends this page, no slot is free for another connection.
  const auto deadline = test::Clock::now() + test::kTimeLimit;
  bool served = false;
  while (!served && test::Clock::now() < deadline) {
    try {
      served = connect().get("/-/healthy").result_int() == 200U;
    } catch (const boost::system::system_error&) {
    }
  }
  EXPECT_TRUE(served);
  EXPECT_TRUE(non_reader.is_closed());
}

TEST_F(HttpServerTest, ClosesASlowReaderOfALargePageForANewPage) {
  daemon.options.max_large_pages = 2;
  daemon.options.slow_page = 0ms;
  daemon.publish(128 * 1024, 1);  // 16 MB: more than all socket buffers
  std::list<Client> non_readers;
  for (int i = 0; i < 3; ++i) {
    non_readers.emplace_back(port());
    daemon.scraped_bytes = 0;
    non_readers.back().send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto deadline = test::Clock::now() + test::kTimeLimit;
    while (daemon.scraped_bytes == 0 && test::Clock::now() < deadline) std::this_thread::yield();
  }
  EXPECT_TRUE(non_readers.front().is_closed());
  EXPECT_EQ(std::next(non_readers.begin())->receive().body().size(), daemon.scraped_bytes);
  EXPECT_EQ(non_readers.back().receive().body().size(), daemon.scraped_bytes);
}

TEST_F(HttpServerTest, LimitsSimultaneousLargePages) {
  daemon.options.max_large_pages = 1;
  daemon.publish(128 * 1024, 1);
  daemon.options.slow_page = 1h;
  std::list<Client> non_readers;
  for (int i = 0; i < 4; ++i) {
    non_readers.emplace_back(port());
    daemon.scraped_bytes = 0;
    non_readers.back().send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto deadline = test::Clock::now() + test::kTimeLimit;
    while (daemon.scraped_bytes == 0 && test::Clock::now() < deadline) std::this_thread::yield();
  }
  Client next = connect();
  const Response refused = next.get("/metrics");
  EXPECT_EQ(refused.result_int(), 503U);
  EXPECT_EQ(refused[http::field::retry_after], "1");
  EXPECT_EQ(next.get("/-/healthy").result_int(), 200U);
}

// Each reader pins the page of its scrape, and each publish replaces the page.
TEST_F(HttpServerTest, LimitsTheMemoryOfSlowReaders) {
  constexpr std::size_t kSamples = 64 * 1024;  // 8 MB
  constexpr int kReaders = test::kIsSanitized ? 3 : 15;
  daemon.options.max_large_pages = 2;
  daemon.options.slow_page = 0ms;
  daemon.publish(kSamples, 1);
  daemon.publish(kSamples, 2);
  const std::size_t before = test::resident_bytes();
  std::list<Client> non_readers;
  for (int i = 0; i < kReaders; ++i) {
    non_readers.emplace_back(port());
    daemon.scraped_bytes = 0;
    non_readers.back().send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
    const auto deadline = test::Clock::now() + test::kTimeLimit;
    while (daemon.scraped_bytes == 0 && test::Clock::now() < deadline) std::this_thread::yield();
    daemon.publish(kSamples, 3 + i);
  }
  const std::size_t page = daemon.scraped_bytes;
  EXPECT_GT(page, std::size_t{8} << 20);
  if (test::kIsSanitized) return;  // its allocator keeps freed memory
  EXPECT_LT(test::resident_bytes(), before + 6 * page);
}

TEST_F(HttpServerTest, SendsAConsistentPage) {
  constexpr std::size_t kSamples = 128 * 1024;  // 16 MB: more than all socket buffers
  daemon.publish(kSamples, 1);
  Client client = connect();
  client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto deadline = test::Clock::now() + test::kTimeLimit;
  while (daemon.scraped_bytes == 0 && test::Clock::now() < deadline) std::this_thread::yield();
  daemon.publish(kSamples, 2);
  daemon.publish(1, 3);
  const std::string page = client.receive().body();
  EXPECT_EQ(page.size(), daemon.scraped_bytes);
  std::size_t samples = 0;
  for (std::size_t at = 0; (at = page.find("x\"} 1\n", at)) != std::string::npos; ++at) ++samples;
  EXPECT_EQ(samples, kSamples);
  EXPECT_TRUE(client.get("/metrics").body().contains("x\"} 3\n"));
}

TEST_F(HttpServerTest, ClosesTheOldestIdleConnectionForANewOne) {
  daemon.options.max_connections = 2;
  Client first = connect();
  Client second = connect();
  EXPECT_EQ(first.get("/-/healthy").result_int(), 200U);
  EXPECT_EQ(second.get("/-/healthy").result_int(), 200U);
  Client third = connect();
  EXPECT_EQ(third.get("/-/healthy").result_int(), 200U);
  EXPECT_TRUE(first.is_closed());
  EXPECT_EQ(second.get("/-/healthy").result_int(), 200U);
}

TEST_F(HttpServerTest, ClosesOpenConnectionsOnDestruction) {
  Client idle = connect();
  EXPECT_EQ(idle.get("/-/healthy").result_int(), 200U);
  Client partial = connect();
  partial.send("GET /");
  server.reset();
  EXPECT_TRUE(idle.is_closed());
  EXPECT_TRUE(partial.is_closed());
}

}  // namespace
}  // namespace vitalsd
