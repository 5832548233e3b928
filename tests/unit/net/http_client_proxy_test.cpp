// The HTTP client with proxies: until the proxy has accepted a request, no failure is one of the
// target.
#include "probes/error.hpp"
#include "probes/net/http_client.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "unit/net/http_client_fixture.hpp"
#include "unit/support/certificate.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/dns_script.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/silent_address.hpp"
#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/address.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;

// How an error of vitalsd itself or of a proxy begins. The target is then neither up nor down.
constexpr const char* kProxyFails = "internal: the proxy AT";

class HttpClientProxy : public test::HttpClientTest {
 protected:
  using Script = test::Conversation::Script;

  // A proxy that reads one request, writes `response` and closes the connection.
  static Script responds(std::string response) {
    return [response = std::move(response)](test::Line& line) -> asio::awaitable<void> {
      co_await test::read_http(line);
      co_await line.write(response);
    };
  }
  // The same, but it keeps the connection open.
  static Script hangs_after(std::string response) {
    return [response = std::move(response)](test::Line& line) -> asio::awaitable<void> {
      co_await test::read_http(line);
      co_await line.write(response);
      co_await line.discard_input();
    };
  }

  // The result of a request to origin.example through the proxy at `endpoint`, which is AT in it.
  std::string ask_through(const std::string& scheme, const std::string& host, std::uint16_t port,
                          std::chrono::milliseconds limit = 0ms) {
    HttpRequest request = this->request(scheme, "origin.example", 1);
    request.proxy = this->request("http", host, port).url;
    request.proxy->user = user;
    request.proxy_password = user.empty() ? "" : "proxy-secret";
    request.limit = limit;
    std::string answer = ask(request);
    const std::string name = config::Endpoint{host, port}.text();
    for (std::size_t at = 0; (at = answer.find(name, at)) != std::string::npos;) {
      answer.replace(at, name.size(), "AT");
    }
    return answer;
  }
  std::string ask_script(const std::string& scheme, Script script,
                         std::chrono::milliseconds limit = 0ms,
                         const std::string& address = "127.0.0.1") {
    const test::Conversation proxy(loop, std::move(script), asio::ip::make_address(address));
    return ask_through(scheme, address, proxy.port(), limit);
  }

  std::string user;
};

TEST_F(HttpClientProxy, AnEndlessResponseToConnect) {
  const auto endless = [](std::string start) -> Script {
    return [start = std::move(start)](test::Line& line) -> asio::awaitable<void> {
      co_await test::read_http(line);
      co_await line.write(start);
      std::string more;
      for (int i = 0; i < 10'000; ++i) more += "X: y\r\n";
      for (;;) co_await line.write(more);
    };
  };
  EXPECT_EQ(ask_script("https", endless("HTTP/1.1 200 Connected\r\n")),
            "internal: the proxy AT: the response to CONNECT is too long");
  EXPECT_EQ(ask_script("https",
                       endless("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 999999999999\r\n\r\n")),
            "internal: the proxy AT refuses the request: status 502");
}

TEST_F(HttpClientProxy, AProxyThatCannotBeReached) {
  for (const std::string scheme : {"http", "https"}) {
    EXPECT_EQ(ask_through(scheme, "127.0.0.1", 1), "internal: the proxy AT: Connection refused");
    EXPECT_EQ(ask_through(scheme, "::1", 1), "internal: the proxy AT: Connection refused");
    EXPECT_THAT(ask_through(scheme, "nowhere.invalid", 1),
                testing::StartsWith("internal: the proxy nowhere.invalid: "));
  }
}

// The limit of a request includes the resolution of the name.
TEST_F(HttpClientProxy, ANameThatIsNotResolvedInTime) {
  const test::DnsScript dns(
      loop, [](const auto& /*query*/) { return test::DnsScript::Answer{.silent = true}; });
  services.resolver.set_servers({dns.endpoint()});
  EXPECT_EQ(ask_through("http", "proxy.example", 1, 50ms),
            "internal: the proxy proxy.example: not resolved within 50 ms");
  EXPECT_EQ(out.late(), Reason::internal);
  HttpRequest direct = request("http", "origin.example", 1);
  direct.limit = 50ms;
  EXPECT_EQ(ask(direct), "dns: origin.example: not resolved within 50 ms");
  EXPECT_EQ(out.late(), Reason::timeout);
}

// The run reports the step, and whether the target is late, at its deadline.
TEST_F(HttpClientProxy, AProxyThatDropsPackets) {
  test::SilentListener silent(loop, {asio::ip::make_address("127.0.0.1"), 0});
  const std::uint16_t port = silent.acceptor().local_endpoint().port();
  for (const std::string scheme : {"http", "https"}) {
    EXPECT_THAT(ask_through(scheme, "127.0.0.1", port, 50ms), testing::StartsWith(kProxyFails));
    EXPECT_EQ(out.late(), Reason::internal);
  }
}

TEST_F(HttpClientProxy, RefusalsOfConnect) {
  for (const int status : {301, 400, 403, 500, 502, 503, 504}) {
    EXPECT_EQ(ask_script("https", responds(test::http_answer(status, "target is down"))),
              "internal: the proxy AT refuses the request: status " + std::to_string(status));
  }
}

// Without TLS, a status may be one of the target.
TEST_F(HttpClientProxy, RespondsForTheTargetWithoutTls) {
  for (const int status : {502, 503, 504}) {
    EXPECT_EQ(ask_script("http", responds(test::http_answer(status, "target is down"))),
              "target is down");
  }
  // A proxy waits for a target that hangs longer than a probe waits.
  EXPECT_THAT(ask_script("http", hangs_after(""), 50ms),
              testing::StartsWith("timeout: through the proxy AT: "));
  EXPECT_EQ(out.late(), Reason::timeout);
  EXPECT_THAT(out.step(), testing::StartsWith(
                              "waiting for a response from origin.example:1 through the proxy "));
  // The rest of a response may be missing because the target has closed the connection.
  for (const std::string response : {"HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nX: y\r\n"}) {
    EXPECT_THAT(ask_script("http", responds(response)),
                testing::StartsWith("protocol: through the proxy AT: "));
  }
}

// A proxy answers in HTTP, also for a target that does not.
TEST_F(HttpClientProxy, DoesNotRespondInHttpWithoutTls) {
  EXPECT_EQ(ask_script("http", responds("")),
            "internal: the proxy AT: the connection was closed without a response");
  for (const std::string& response :
       {std::string("220 smtp ready\r\n"), std::string("SSH-2.0-OpenSSH\r\n\r\n"),
        std::string("\0\1\2\xff", 4)}) {
    for (const Script& script : {responds(response), hangs_after(response)}) {
      EXPECT_EQ(ask_script("http", script), "internal: the proxy AT: the response is not HTTP");
    }
  }
  EXPECT_THAT(ask_script("http", responds("HTTP/1.1 2")), testing::StartsWith(kProxyFails));
}

// Status 407 is the proxy's, with and without CONNECT.
TEST_F(HttpClientProxy, RefusesTheCredentials) {
  for (const std::string scheme : {"http", "https"}) {
    for (const std::string& each : {"", "scout"}) {
      user = each;
      EXPECT_EQ(
          ask_script(scheme, responds(test::http_answer(407, ""))),
          std::string("config: the proxy AT refuses the request: status 407, it ") +
              (user.empty() ? "requires credentials: set a user in proxy, and proxy_password"
                            : "does not accept the user of proxy with proxy_password, or basic "
                              "authentication"));
    }
  }
}

TEST_F(HttpClientProxy, FailsDuringConnect) {
  const std::vector<std::string> responses = {"", "HTTP/1.1 2", "HTTP/1.1 200 OK\r\n",
                                              "HTTP/1.1 200 OK\r\nX: y\r\n",
                                              "SSH-2.0-OpenSSH\r\n\r\n"};
  user = "scout";
  for (const std::string& response : responses) {
    const std::string closed = ask_script("https", responds(response));
    EXPECT_THAT(closed, testing::StartsWith(kProxyFails)) << response;
    EXPECT_THAT(closed, testing::Not(testing::HasSubstr("proxy-secret")));
    EXPECT_EQ(out.late(), Reason::internal) << response;
  }
  EXPECT_EQ(ask_script("https", responds("")),
            "internal: the proxy AT: the connection was closed before the response to CONNECT was "
            "complete");
  EXPECT_EQ(ask_script("https", responds("SSH-2.0-OpenSSH\r\n\r\n")),
            "internal: the proxy AT: the response to CONNECT is not HTTP/1");
  for (const std::string& response : responses) {
    EXPECT_THAT(ask_script("https", hangs_after(response), 50ms), testing::StartsWith(kProxyFails))
        << response;
    EXPECT_EQ(out.late(), Reason::internal) << response;
    EXPECT_THAT(out.step(), testing::StartsWith("waiting for a response from the proxy "));
  }
}

// The rest of the conversation is that of the target.
TEST_F(HttpClientProxy, FailsInTheTunnel) {
  const std::string connected = "HTTP/1.1 200 Connected\r\n\r\n";
  EXPECT_THAT(ask_script("https", responds(connected + "no TLS")),
              testing::StartsWith("tls: through the proxy AT: "));
  EXPECT_THAT(ask_script("https", responds(connected)),
              testing::StartsWith("tls: through the proxy AT: "));
  EXPECT_THAT(ask_script("https", hangs_after(connected), 50ms),
              testing::StartsWith("timeout: through the proxy AT: "));
  EXPECT_EQ(out.late(), Reason::timeout);
  EXPECT_THAT(out.step(), testing::StartsWith(
                              "waiting for a response from origin.example:1 through the proxy "));
}

TEST_F(HttpClientProxy, AtAnIPv6Address) {
  if (!test::has_ipv6()) GTEST_SKIP();
  EXPECT_EQ(ask_script("http", responds(test::http_answer(200, "good")), 0ms, "::1"), "good");
  EXPECT_EQ(ask_script("https", responds(test::http_answer(503, "")), 0ms, "::1"),
            "internal: the proxy AT refuses the request: status 503");
}

// A file of vitalsd is not a fault of the proxy.
TEST_F(HttpClientProxy, DoesNotBlameTheProxyForFiles) {
  const test::Conversation proxy(loop, responds(""));
  HttpRequest request = this->request("https", "origin.example", 1);
  request.proxy = this->request("http", "127.0.0.1", proxy.port()).url;
  request.tls.ca = "/nonexistent/ca.pem";
  EXPECT_THAT(ask(request), testing::AllOf(testing::StartsWith("config: "),
                                           testing::Not(testing::HasSubstr("proxy"))));
}

}  // namespace
}  // namespace vitalsd::net
