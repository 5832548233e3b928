// Names with several addresses, of which some do not respond.
#include "probes/error.hpp"
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <string>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/dns_script.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/open_descriptors.hpp"
#include "unit/support/silent_address.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class HttpAddresses : public testing::Test {
 protected:
  HttpAddresses() { asio::co_spawn(loop_, accept(), asio::detached); }
  ~HttpAddresses() override {
    peers_.live().close();
    services_.wheel.stop();
    services_.wind_down();
  }

  // The name server returns these addresses in this order.
  void resolve_to(std::vector<std::string> addresses) { addresses_ = std::move(addresses); }

  [[nodiscard]] HttpRequest request() const {
    HttpRequest request;
    request.url.scheme = "http";
    request.url.host = "two.example";
    request.url.port = peers_.port();
    request.url.path = "/";
    return request;
  }
  test::Task<HttpResponse> begin(const HttpRequest& request) {
    return {loop_, services_.http.perform(request, out_)};
  }
  HttpResponse ask(const HttpRequest& request) { return begin(request).get(); }
  std::string error_of(const HttpRequest& request) {
    try {
      ask(request);
    } catch (const ProbeError& error) {
      return std::string(reason_name(error.reason())) + ": " + error.what();
    }
    return "none";
  }

  asio::io_context loop_{1};
  test::SilentAddress peers_{loop_};
  int accepted_ = 0;
  bool is_silent_ = false;  // the server does not respond to requests that arrive now
  SampleSet out_;

 private:
  asio::awaitable<void> accept() {
    try {
      for (;;) {
        test::Line line(co_await peers_.live().async_accept(asio::use_awaitable));
        ++accepted_;
        asio::co_spawn(loop_, serve(std::move(line)), asio::detached);
      }
    } catch (const boost::system::system_error&) {
      co_return;  // the acceptor is closed
    }
  }
  asio::awaitable<void> serve(test::Line line) {
    try {
      for (;;) {
        co_await test::read_http(line);
        if (is_silent_) co_await line.discard_input();
        co_await line.write(test::http_answer(200, "hello"));
      }
    } catch (const boost::system::system_error&) {
      co_return;  // the client has closed the connection
    }
  }
  std::vector<std::string> addresses_{test::SilentAddress::kSilent, test::SilentAddress::kLive};
  test::DnsScript names_{
      loop_, [this](const auto& query) { return test::ipv4_answer(query, addresses_); }};

 protected:
  ProbeServices services_{loop_, {names_.endpoint()}};
};

TEST_F(HttpAddresses, TriesTheNextAddressAfter250Milliseconds) {
  const auto start = test::Clock::now();
  const HttpResponse response = ask(request());
  const auto took = test::Clock::now() - start;
  EXPECT_EQ(response.body, "hello");
  EXPECT_GE(took, 250ms);
  EXPECT_LT(took, 2s);
  EXPECT_GE(response.phases.connect, 0.25);
  EXPECT_LT(response.phases.resolve, 0.25);
}

TEST_F(HttpAddresses, TriesTheNextAddressAtOnceIfOneRefuses) {
  resolve_to({"127.0.0.3", "127.0.0.1"});
  const HttpResponse response = ask(request());
  EXPECT_EQ(response.body, "hello");
  EXPECT_LT(response.phases.connect, 0.25);
}

TEST_F(HttpAddresses, ConnectsOnceIfTheFirstAddressAccepts) {
  resolve_to({"127.0.0.1", "127.0.0.2"});
  EXPECT_EQ(ask(request()).body, "hello");
  EXPECT_EQ(accepted_, 1);
}

TEST_F(HttpAddresses, ReusesTheConnectionToTheNextAddress) {
  HttpRequest reusing = request();
  reusing.reuse_connection = true;
  EXPECT_EQ(ask(reusing).body, "hello");
  const int accepted = accepted_;
  const HttpResponse response = ask(reusing);
  EXPECT_EQ(response.body, "hello");
  EXPECT_LT(response.phases.connect, 0.25);
  EXPECT_EQ(accepted_, accepted);
}

// A kept connection may drop packets without an error. The request over it ends at its limit, and
// the next one must start anew with the addresses.
TEST_F(HttpAddresses, DoesNotReuseAConnectionThatHasTimedOut) {
  for (const bool is_stream : {false, true}) {
    HttpRequest reusing = request();
    reusing.reuse_connection = true;
    if (is_stream) reusing.on_data = [](std::string_view) { return true; };
    EXPECT_EQ(error_of(reusing), "none");
    const int accepted = accepted_;
    is_silent_ = true;
    reusing.limit = 300ms;
    EXPECT_THAT(error_of(reusing), StartsWith("timeout: "));
    EXPECT_EQ(accepted_, accepted);
    is_silent_ = false;
    reusing.limit = 5s;
    EXPECT_EQ(error_of(reusing), "none");
    EXPECT_GT(accepted_, accepted);
  }
}

TEST_F(HttpAddresses, ReportsEachAddressThatRefuses) {
  resolve_to({"127.0.0.3", "127.0.0.4"});
  const std::string port = std::to_string(peers_.port());
  EXPECT_THAT(error_of(request()), AllOf(StartsWith("connect: "),
                                         HasSubstr("127.0.0.3:" + port + ": Connection refused"),
                                         HasSubstr("127.0.0.4:" + port + ": Connection refused")));
}

TEST_F(HttpAddresses, EndsAtTheLimitOfTheRequest) {
  resolve_to({"127.0.0.2", "127.0.0.2"});
  HttpRequest limited = request();
  limited.limit = 400ms;
  const auto start = test::Clock::now();
  EXPECT_THAT(error_of(limited), StartsWith("timeout: "));
  EXPECT_GE(test::Clock::now() - start, 400ms);
}

TEST_F(HttpAddresses, ClosesAllSocketsWhenCancelled) {
  resolve_to({"127.0.0.2", "127.0.0.2"});
  test::Task(loop_, services_.resolver.resolve("two.example")).get();
  const std::ptrdiff_t descriptors = test::open_descriptors();
  for (const std::string step : {"waiting", "connecting"}) {
    const HttpRequest silent = request();
    auto asking = begin(silent);
    EXPECT_TRUE(test::run_until(loop_, [&] {
      return out_.step().starts_with(step) && test::open_descriptors() > descriptors;
    }));
    asking.cancel();
    EXPECT_THROW(asking.get(), boost::system::system_error);
    EXPECT_TRUE(test::run_until(loop_, [&] { return test::open_descriptors() == descriptors; }));
  }
}

}  // namespace
}  // namespace vitalsd::net
