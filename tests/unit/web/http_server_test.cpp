// The server over real sockets. routes_test covers the responses of each URL.
#include "exporter/web/http_server.hpp"

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <future>
#include <iterator>
#include <list>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "unit/support/certificate.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/memory.hpp"
#include "unit/support/no_descriptors.hpp"
#include "unit/support/temp_directory.hpp"
#include "unit/support/web.hpp"
#include <boost/asio/buffer.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/use_future.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

namespace vitalsd {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using namespace std::chrono_literals;
using asio::ip::tcp;
using Response = http::response<http::string_body>;

// ---- a client whose operations have a timeout ---------------------------------------------------

class Client {
 public:
  explicit Client(std::uint16_t port) : stream_(io_) {
    const tcp::endpoint server(asio::ip::address_v4::loopback(), port);
    wait([&] { return stream_.async_connect(server, asio::use_future); });
  }

  void send(std::string_view text) {
    wait([&] { return asio::async_write(stream_, asio::buffer(text), asio::use_future); });
  }
  Response receive(bool to_head = false) {
    http::response_parser<http::string_body> parser;
    parser.skip(to_head);
    parser.body_limit(boost::none);
    wait([&] { return http::async_read(stream_, buffer_, parser, asio::use_future); });
    return parser.release();
  }
  Response get(std::string_view target, std::string_view headers = "") {
    send("GET " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n" + std::string(headers) + "\r\n");
    return receive();
  }
  // Reads until the end. Whether the server ends the connection.
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
    stream_.expires_after(test::kPatience);
    auto result = start();
    io_.restart();
    io_.run();
    result.get();
  }

  asio::io_context io_{1};
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
};

class HttpServerTest : public testing::Test {
 protected:
  Client connect() { return Client(port()); }

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

// ---- requests and responses ---------------------------------------------------------------------

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

// ---- clients that misbehave ---------------------------------------------------------------------

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
  const auto deadline = test::Clock::now() + test::kPatience;
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
    const auto deadline = test::Clock::now() + test::kPatience;
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
    const auto deadline = test::Clock::now() + test::kPatience;
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
    const auto deadline = test::Clock::now() + test::kPatience;
    while (daemon.scraped_bytes == 0 && test::Clock::now() < deadline) std::this_thread::yield();
    daemon.publish(kSamples, 3 + i);
  }
  const std::size_t page = daemon.scraped_bytes;
  EXPECT_GT(page, std::size_t{8} << 20);
  if (test::kIsSanitized) return;  // its allocator keeps freed memory
  EXPECT_LT(test::resident_bytes() - before, 6 * page);
}

TEST_F(HttpServerTest, SendsAConsistentPage) {
  constexpr std::size_t kSamples = 128 * 1024;  // 16 MB: more than all socket buffers
  daemon.publish(kSamples, 1);
  Client client = connect();
  client.send("GET /metrics HTTP/1.1\r\nHost: h\r\n\r\n");
  const auto deadline = test::Clock::now() + test::kPatience;
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

// ---- credentials --------------------------------------------------------------------------------

TEST_F(HttpServerTest, RequiresCredentials) {
  // bcrypt of "hunter2" at the lowest cost.
  daemon.options.basic_auth = {
      {"prometheus", "$2b$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm"}};
  Client client = connect();
  const Response refused = client.get("/metrics");
  EXPECT_EQ(refused.result_int(), 401U);
  EXPECT_EQ(refused[http::field::www_authenticate], "Basic realm=\"vitalsd\", charset=\"UTF-8\"");
  EXPECT_EQ(
      client.get("/metrics", "Authorization: Basic cHJvbWV0aGV1czpodW50ZXIy\r\n").result_int(),
      200U);
  EXPECT_EQ(
      client.get("/metrics", "Authorization: Basic cHJvbWV0aGV1czpodW50ZXIz\r\n").result_int(),
      401U);
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
}

// A hash whose check takes about a second. No password matches it.
constexpr const char* kCostlyHash = "$2b$13$abcdefghijklmnopqrstuuxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx";

std::string wrong_password() {
  return "GET /metrics HTTP/1.1\r\nHost: h\r\nAuthorization: Basic "
         "cHJvbWV0aGV1czpodW50ZXIy\r\n\r\n";
}

TEST_F(HttpServerTest, ServesOthersWhilePasswordsAreChecked) {
  daemon.options.basic_auth = {{"prometheus", kCostlyHash}};
  daemon.options.max_connections = 4;
  std::list<Client> guessing;
  for (int i = 0; i < 4; ++i) {
    guessing.emplace_back(port());
    guessing.back().send(wrong_password());
  }
  std::this_thread::sleep_for(100ms);  // until all checks are pending
  EXPECT_EQ(connect().get("/-/healthy").result_int(), 200U);
  EXPECT_EQ(connect().get("/-/ready").result_int(), 200U);
}

TEST_F(HttpServerTest, LimitsPendingPasswordChecks) {
  daemon.options.basic_auth = {{"prometheus", kCostlyHash}};
  std::list<Client> guessing;
  for (int i = 0; i < 9; ++i) {
    guessing.emplace_back(port());
    guessing.back().send(wrong_password());
  }
  std::this_thread::sleep_for(100ms);
  Client next = connect();
  const auto start = test::Clock::now();
  const Response refused =
      next.get("/metrics", "Authorization: Basic cHJvbWV0aGV1czpodW50ZXIz\r\n");
  EXPECT_EQ(refused.result_int(), 503U);
  EXPECT_EQ(refused[http::field::retry_after], "1");
  EXPECT_LT(test::Clock::now() - start, 2s);
}

// ---- reload -------------------------------------------------------------------------------------

TEST_F(HttpServerTest, RespondsWhenTheReloadHasEnded) {
  std::vector<std::pair<bool, std::string>> outcomes = {{false, "line 3\n"}, {true, "reloaded\n"}};
  daemon.options.reload = [&](const WebOptions::ReloadDone& done) {
    done(outcomes.back().first, outcomes.back().second);
    outcomes.pop_back();
  };
  Client client = connect();
  const std::string request = "POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n";
  client.send(request);
  const Response good = client.receive();
  EXPECT_EQ(good.result_int(), 200U);
  EXPECT_EQ(good.body(), "reloaded\n");
  client.send(request);
  const Response bad = client.receive();
  EXPECT_EQ(bad.result_int(), 500U);
  EXPECT_EQ(bad.body(), "line 3\n");
}

TEST_F(HttpServerTest, ReloadHasATimeout) {
  daemon.options.response_timeout = 50ms;
  WebOptions::ReloadDone kept;
  daemon.options.reload = [&](WebOptions::ReloadDone done) { kept = std::move(done); };
  Client client = connect();
  client.send("POST /-/reload HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n");
  EXPECT_EQ(client.receive().result_int(), 504U);
  kept(true, "too late");  // the result is no longer needed
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
}

// ---- requests to probes -------------------------------------------------------------------------

class PushTest : public HttpServerTest {
 protected:
  PushTest() {
    daemon.options.push = [&](WebPush push, WebOptions::PushDone done) {
      pushes.push_back(std::move(push));
      if (answers) {
        done(status, "text\n");
      } else {
        kept = std::move(done);
      }
    };
  }

  void set_route() {
    port();  // starts the server
    WebRoute route{
        .path = "/jobs/n", .probe = "n", .max_body = max_body, .methods = methods, .token = {}};
    if (has_token) {
      route.token = [this](WebRoute::TokenDone done) {
        if (token_is_known) {
          done(*token_is_known, *token_is_known ? "a-long-token" : "cannot read /secret");
        } else {
          kept_token.set_value(std::move(done));
        }
      };
    }
    server->set_routes({route});
  }
  Client connect_with_route() {
    set_route();
    return connect();
  }
  static std::string request(const std::string& target, const std::string& headers = "",
                             const std::string& body = "") {
    return "POST " + target +
           " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n" +
           headers + "\r\n" + body;
  }

  std::size_t max_body = 10;
  std::vector<std::string> methods{"POST"};
  bool has_token = true;
  std::optional<bool> token_is_known = true;  // nothing: the callback is kept
  std::promise<WebRoute::TokenDone> kept_token;
  bool answers = true;
  int status = 200;
  std::vector<WebPush> pushes;  // read it after a response
  WebOptions::PushDone kept;
  const std::string token = "Authorization: Bearer a-long-token\r\n";
};

TEST_F(PushTest, PassesARequestToItsProbe) {
  Client client = connect_with_route();
  client.send(request("/jobs/n/start?rid=7", token, "0123456789"));
  const Response response = client.receive();
  EXPECT_EQ(response.result_int(), 200U);
  EXPECT_EQ(response.body(), "text\n");
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].probe, "n");
  EXPECT_EQ(pushes[0].path, "/start");
  EXPECT_EQ(pushes[0].query, "rid=7");
  EXPECT_EQ(pushes[0].body, "0123456789");
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);  // the same connection
}

TEST_F(PushTest, RefusedRequestsDoNotReachTheProbe) {
  Client client = connect_with_route();
  client.send(request("/jobs/n", "", "0123456789"));
  EXPECT_EQ(client.receive().result_int(), 401U);
  client.send(request("/jobs/n", token));  // the same connection
  EXPECT_EQ(client.receive().result_int(), 200U);
  EXPECT_EQ(pushes.size(), 1U);
}

TEST_F(PushTest, PassesOnTheMethodAndTheHeadersOfTheBody) {
  methods = {"POST", "PUT"};
  Client client = connect_with_route();
  client.send(
      "PUT /jobs/n HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nContent-Encoding: gzip\r\n"
      "Content-Type: text/plain\r\n" +
      token + "\r\nx");
  EXPECT_EQ(client.receive().result_int(), 200U);
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].method, "PUT");
  EXPECT_EQ(pushes[0].route, "/jobs/n");
  EXPECT_EQ(pushes[0].content_encoding, "gzip");
  EXPECT_EQ(pushes[0].content_type, "text/plain");
  client.send("DELETE /jobs/n HTTP/1.1\r\nHost: h\r\n" + token + "\r\n");
  EXPECT_EQ(client.receive().result_int(), 405U);
}

// Otherwise anybody could fill the memory with bodies.
TEST_F(PushTest, ALargeBodyIsNotReadWithoutTheToken) {
  max_body = 100'000;
  set_route();
  for (const std::string& framing :
       {std::string("Content-Length: 50000\r\n\r\n"),
        "Transfer-Encoding: chunked\r\n\r\n1000\r\n" + std::string(4096, 'x') + "\r\n"}) {
    Client client = connect();
    client.send("POST /jobs/n HTTP/1.1\r\nHost: h\r\n" + framing);
    EXPECT_EQ(client.receive().result_int(), 401U);
    EXPECT_TRUE(client.is_closed());
  }
  Client client = connect();
  client.send(request("/jobs/n", token, std::string(50'000, 'x')));
  EXPECT_EQ(client.receive().result_int(), 200U);
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].body.size(), 50'000U);
}

TEST_F(PushTest, ASlowBodyEndsTheConnection) {
  daemon.options.request_timeout = 50ms;
  set_route();
  for (const std::string& credentials : {token, std::string()}) {
    Client client = connect();
    client.send("POST /jobs/n HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n" + credentials +
                "\r\n0");
    EXPECT_TRUE(client.is_closed());
  }
  EXPECT_TRUE(pushes.empty());
}

TEST_F(PushTest, BodiesAreBounded) {
  set_route();
  for (const std::string& large :
       {request("/jobs/n", token, "0123456789x"),
        "POST /jobs/n HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + token +
            "\r\n8\r\n01234567\r\n8\r\n01234567\r\n0\r\n\r\n"}) {
    Client client = connect();
    client.send(large);
    EXPECT_EQ(client.receive().result_int(), 413U);
    EXPECT_TRUE(client.is_closed());
  }
  Client client = connect();
  client.send("POST /jobs/n HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n" + token +
              "\r\n8\r\n01234567\r\n2\r\n89\r\n0\r\n\r\n");
  EXPECT_EQ(client.receive().result_int(), 200U);
  ASSERT_EQ(pushes.size(), 1U);
  EXPECT_EQ(pushes[0].body, "0123456789");
}

TEST_F(PushTest, WithoutAnAnswerTheClientRetries) {
  answers = false;
  daemon.options.request_timeout = 50ms;
  Client client = connect_with_route();
  client.send(request("/jobs/n", token));
  const Response response = client.receive();
  EXPECT_EQ(response.result_int(), 503U);
  EXPECT_EQ(response[http::field::retry_after], "5");
  kept(200, "too late");  // the answer is no longer needed
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
}

TEST_F(PushTest, ATokenThatCannotBeReadIsUnavailable) {
  token_is_known = false;
  Client client = connect_with_route();
  client.send(request("/jobs/n", token, "0123456789"));
  const Response response = client.receive();
  EXPECT_EQ(response.result_int(), 503U);
  EXPECT_EQ(response[http::field::retry_after], "5");
  EXPECT_FALSE(response.body().contains("/secret"));
  EXPECT_TRUE(pushes.empty());
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);  // the same connection
}

TEST_F(PushTest, ATokenThatIsNotReadInTimeIsUnavailable) {
  token_is_known.reset();
  daemon.options.request_timeout = 50ms;
  Client client = connect_with_route();
  client.send(request("/jobs/n", token));
  const Response response = client.receive();
  EXPECT_EQ(response.result_int(), 503U);
  EXPECT_EQ(response[http::field::retry_after], "5");
  kept_token.get_future().get()(true, "a-long-token");  // the token is no longer needed
  EXPECT_EQ(client.get("/-/healthy").result_int(), 200U);
  EXPECT_TRUE(pushes.empty());
}

TEST_F(PushTest, OthersAreAnsweredWhileATokenIsRead) {
  token_is_known.reset();
  Client client = connect_with_route();
  client.send(request("/jobs/n", token));
  const WebRoute::TokenDone done = kept_token.get_future().get();
  EXPECT_EQ(connect().get("/-/healthy").result_int(), 200U);
  EXPECT_TRUE(pushes.empty());
  done(true, "a-long-token");
  EXPECT_EQ(client.receive().result_int(), 200U);
}

TEST_F(PushTest, ARouteThatIsGoneWhenTheTokenIsReadIsNotFound) {
  token_is_known.reset();
  Client client = connect_with_route();
  client.send(request("/jobs/n", token));
  const WebRoute::TokenDone done = kept_token.get_future().get();
  server->set_routes({});
  done(true, "a-long-token");
  EXPECT_EQ(client.receive().result_int(), 404U);
  EXPECT_TRUE(pushes.empty());
}

TEST_F(PushTest, ARefusalOfTheProbeIsPassedOn) {
  Client client = connect_with_route();
  for (const int refusal : {400, 404, 503}) {
    status = refusal;
    client.send(request("/jobs/n", token));
    const Response response = client.receive();
    EXPECT_EQ(response.result_int(), static_cast<unsigned>(refusal));
    EXPECT_EQ(response.body(), "text\n");
    EXPECT_EQ(response[http::field::retry_after], refusal == 503 ? "5" : "");
  }
}

TEST_F(PushTest, AStandbyAsksForARetry) {
  daemon.options.leads = [] { return false; };
  Client client = connect_with_route();
  client.send(request("/jobs/n"));
  EXPECT_EQ(client.receive().result_int(), 401U);
  client.send(request("/jobs/n", token));
  const Response response = client.receive();
  EXPECT_EQ(response.result_int(), 503U);
  EXPECT_EQ(response[http::field::retry_after], "5");
  EXPECT_TRUE(pushes.empty());
}

TEST_F(PushTest, ATokenReplacesThePassword) {
  daemon.options.basic_auth = {
      {"prometheus", "$2b$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm"}};
  Client client = connect_with_route();
  client.send(request("/jobs/n", token));
  EXPECT_EQ(client.receive().result_int(), 200U);
  EXPECT_EQ(client.get("/metrics", token).result_int(), 401U);
  has_token = false;
  Client other = connect_with_route();
  other.send(request("/jobs/n"));
  EXPECT_EQ(other.receive().result_int(), 401U);
}

// Regression: strangers used the limit of a route without a token before the password was checked.
TEST_F(PushTest, StrangersDoNotUseTheLimitOfARouteWithAPassword) {
  daemon.options.basic_auth = {
      {"prometheus", "$2b$04$abcdefghijklmnopqrstuuV3duMsC0HpUex6N9qapiuOHHWkwRXVm"}};
  has_token = false;
  Client client = connect_with_route();
  unsigned last = 0;
  for (int i = 0; i < 50 && last != 429; ++i) {
    client.send(request("/jobs/n"));
    last = client.receive().result_int();
  }
  EXPECT_EQ(last, 429U);
  client.send(request("/jobs/n", "Authorization: Basic cHJvbWV0aGV1czpodW50ZXIy\r\n"));
  EXPECT_EQ(client.receive().result_int(), 200U);
  EXPECT_EQ(pushes.size(), 1U);
}

// ---- the socket ---------------------------------------------------------------------------------

TEST_F(HttpServerTest, ThrowsIfItCannotBind) {
  connect();
  daemon.options.port = server->port();
  EXPECT_THROW(HttpServer(daemon.options), boost::system::system_error);
  daemon.options.address = "no address";
  EXPECT_THROW(HttpServer(daemon.options), boost::system::system_error);
}

// ---- TLS ----------------------------------------------------------------------------------------

class HttpsServerTest : public HttpServerTest {
 protected:
  HttpsServerTest() { install(test::make_certificate("first")); }

  void install(const test::Certificate& certificate) {
    daemon.options.certificate = directory.file("tls.crt", certificate.certificate);
    daemon.options.key = directory.file("tls.key", certificate.key);
  }

  // Sends a request over TLS. Returns the common name of the server's certificate.
  std::string request(const std::optional<test::Certificate>& certificate = std::nullopt) {
    connect();  // starts the server
    asio::io_context io{1};
    asio::ssl::context context(asio::ssl::context::tls_client);
    if (certificate) {
      context.use_certificate(asio::buffer(certificate->certificate), asio::ssl::context::pem);
      context.use_private_key(asio::buffer(certificate->key), asio::ssl::context::pem);
    }
    SSL_CTX_set_max_proto_version(context.native_handle(), max_version);
    asio::ssl::stream<tcp::socket> stream(io, context);
    if (session) SSL_set_session(stream.native_handle(), session.get());
    stream.next_layer().connect({asio::ip::address_v4::loopback(), server->port()});
    stream.handshake(asio::ssl::stream_base::client);
    asio::write(stream, asio::buffer(std::string_view(
                            "GET /-/healthy HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")));
    beast::flat_buffer buffer;
    Response response;
    http::read(stream, buffer, response);
    EXPECT_EQ(response.body(), "vitalsd is healthy.\n");
    session.reset(SSL_get1_session(stream.native_handle()));
    // Without this, OpenSSL treats the end as a truncation and the session as not resumable.
    SSL_set_shutdown(stream.native_handle(), SSL_SENT_SHUTDOWN);
    const std::unique_ptr<X509, decltype(&X509_free)> peer(
        SSL_get1_peer_certificate(stream.native_handle()), &X509_free);
    std::string name(64, '\0');
    const int size = X509_NAME_get_text_by_NID(X509_get_subject_name(peer.get()), NID_commonName,
                                               name.data(), 64);
    return name.substr(0, static_cast<std::size_t>(size));
  }

  test::TempDirectory directory;
  int max_version = 0;  // of TLS; 0: any
  std::unique_ptr<SSL_SESSION, decltype(&SSL_SESSION_free)> session{nullptr, &SSL_SESSION_free};
};

TEST_F(HttpsServerTest, ServesTls) { EXPECT_EQ(request(), "first"); }

TEST_F(HttpsServerTest, ClosesPlainHttpConnections) {
  Client client = connect();
  client.send("GET /-/healthy HTTP/1.1\r\nHost: h\r\n\r\n");
  EXPECT_TRUE(client.is_closed());
}

TEST_F(HttpsServerTest, ClosesSlowHandshakes) {
  daemon.options.request_timeout = 50ms;
  EXPECT_TRUE(connect().is_closed());
}

TEST_F(HttpsServerTest, LoadsACertificateThatChanged) {
  EXPECT_EQ(request(), "first");
  install(test::make_certificate("second"));
  std::filesystem::last_write_time(daemon.options.certificate,
                                   std::filesystem::file_time_type::clock::now() + 10s);
  EXPECT_EQ(request(), "second");
}

TEST_F(HttpsServerTest, LoadsACertificateThatChangedWithinASecond) {
  const auto time = std::filesystem::file_time_type::clock::now();
  std::filesystem::last_write_time(daemon.options.certificate, time);
  std::filesystem::last_write_time(daemon.options.key, time);
  EXPECT_EQ(request(), "first");
  install(test::make_certificate("second"));
  std::filesystem::last_write_time(daemon.options.certificate, time + 1ns);
  std::filesystem::last_write_time(daemon.options.key, time + 1ns);
  EXPECT_EQ(request(), "second");
}

TEST_F(HttpsServerTest, KeepsItsCertificateIfTheFileIsAFifo) {
  EXPECT_EQ(request(), "first");
  std::filesystem::remove(daemon.options.certificate);
  ASSERT_EQ(mkfifo(daemon.options.certificate.c_str(), 0600), 0);  // without a writer
  std::filesystem::last_write_time(daemon.options.certificate,
                                   std::filesystem::file_time_type::clock::now() + 10s);
  EXPECT_EQ(request(), "first");
}

TEST_F(HttpsServerTest, KeepsItsCertificateIfTheFilesAreInvalid) {
  EXPECT_EQ(request(), "first");
  std::filesystem::remove(directory.file("tls.crt", "half a certifi"));
  EXPECT_EQ(request(), "first");
}

TEST_F(HttpsServerTest, RequiresAClientCertificateOfItsCa) {
  const test::Certificate ca = test::make_certificate("ca");
  daemon.options.client_ca = directory.file("ca.crt", ca.certificate);
  EXPECT_EQ(request(test::make_certificate("client", ca)), "first");
  EXPECT_THROW(request(), boost::system::system_error);
  EXPECT_THROW(request(test::make_certificate("stranger")), boost::system::system_error);
}

TEST_F(HttpsServerTest, AcceptsClientsWithACertificateRepeatedly) {
  const test::Certificate ca = test::make_certificate("ca");
  const test::Certificate client = test::make_certificate("client", ca);
  daemon.options.client_ca = directory.file("ca.crt", ca.certificate);
  for (const int version : {TLS1_2_VERSION, TLS1_3_VERSION}) {
    max_version = version;
    session.reset();
    EXPECT_EQ(request(client), "first");
    EXPECT_EQ(request(client), "first");  // with the previous session, if there is one
  }
}

TEST_F(HttpsServerTest, AcceptsSeveralClientCas) {
  const test::Certificate one = test::make_certificate("one");
  const test::Certificate two = test::make_certificate("two");
  daemon.options.client_ca = directory.file("ca.crt", one.certificate + two.certificate);
  EXPECT_EQ(request(test::make_certificate("client", one)), "first");
  session.reset();
  EXPECT_EQ(request(test::make_certificate("client", two)), "first");
}

TEST_F(HttpsServerTest, ThrowsIfItsCertificateCannotBeUsed) {
  daemon.options.key = directory.file("other.key", test::make_certificate("other").key);
  EXPECT_THROW(HttpServer(daemon.options), std::exception);
  daemon.options.certificate = directory.path("missing.crt");
  EXPECT_THROW(HttpServer(daemon.options), std::exception);
}

}  // namespace
}  // namespace vitalsd
