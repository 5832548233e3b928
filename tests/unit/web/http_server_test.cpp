// The server and the rest of the daemon over real sockets: reload, requests to probes, the
// listener.
#include "exporter/web/http_server.hpp"

#include <chrono>
#include <future>
#include <optional>
#include <string>
#include <utility>
#include <vector>

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

// Otherwise, clients without the token could fill the memory with bodies.
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

// Regression: requests without the password used up the limit of a route without a token before the
// password was checked.
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

}  // namespace
}  // namespace vitalsd
