// Passwords, and clients while passwords are checked.
#include "exporter/web/http_server.hpp"

#include <chrono>
#include <list>
#include <string>
#include <thread>

#include "unit/support/loop.hpp"
#include "unit/web/http_server_fixture.hpp"
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using namespace std::chrono_literals;
using Client = test::WebClient;
using Response = test::WebResponseMessage;
using test::HttpServerTest;

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

}  // namespace
}  // namespace vitalsd
