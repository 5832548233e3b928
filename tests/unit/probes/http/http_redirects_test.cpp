// Redirects of kind `http`.
#include <string>

#include "unit/probes/http/http_fixture.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/tls_server.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpCall;
using test::HttpTest;

TEST_F(HttpTest, FollowsRedirects) {
  answer = [&](const HttpCall& call) {
    if (call.target == "/a/b") return redirect(301, "c");
    if (call.target == "/a/c") return redirect(308, url("/d?x=1"));
    return http_answer(200, "arrived");
  };
  const test::Observation run = observe("", "/a/b");
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(calls.at(2).target, "/d?x=1");
  EXPECT_EQ(run.value("probe_http_redirects"), 2);
  EXPECT_EQ(run.value("probe_http_status_code"), 200);
  EXPECT_EQ(run.value("probe_http_uncompressed_body_length"), 7);
}

TEST_F(HttpTest, StopsAfterTheMaximumOfRedirects) {
  answer_always(redirect(302, "/"));
  const test::Observation run = observe(", redirects: 3");
  EXPECT_EQ(calls.size(), 4U);
  EXPECT_EQ(run.value("probe_http_redirects"), 3);
  EXPECT_EQ(run.failure(), "mismatch: more than 3 redirects: status 302, expected 2xx");
  EXPECT_EQ(observe(", redirects: 3, expect: {status: 302}").failure(), "");
  EXPECT_EQ(observe(", redirects: 0").failure(), "mismatch: status 302, expected 2xx");
}

// The target itself has answered, so it is up.
TEST_F(HttpTest, NamesTheRedirectToAServerThatFails) {
  answer_always(redirect(302, "http://127.0.0.1:1/?token=hush"));
  EXPECT_EQ(observe().failure(),
            "mismatch: redirected to http://127.0.0.1:1: 127.0.0.1:1: Connection refused");
  answer_always(redirect(302, "http://nowhere.invalid/"));
  const test::Observation run = observe();
  EXPECT_TRUE(run.failure().starts_with("mismatch: redirected to http://nowhere.invalid: "))
      << run.failure();
}

TEST_F(HttpTest, IsDownIfItDoesNotAnswerAfterItsOwnRedirect) {
  answer = [&](const HttpCall& call) {
    return call.target == "/" ? redirect(302, "/target") : std::string();
  };
  const test::Observation run = observe();
  EXPECT_TRUE(run.failure().starts_with("protocol: redirected to " + url("") + ": Empty reply"))
      << run.failure();
}

TEST_F(HttpTest, EncodesALocationAsBrowsersDo) {
  answer = [&](const HttpCall& call) {
    return call.target == "/" ? redirect(302, "/my café?ids[]=1|2") : http_answer(200, "");
  };
  EXPECT_EQ(observe().failure(), "");
  EXPECT_EQ(calls.at(1).target, "/my%20caf%C3%A9?ids%5B%5D=1%7C2");
}

TEST_F(HttpTest, FollowsADowngradeOnlyIfAllowed) {
  answer = [&](const HttpCall& call) {
    return call.target.starts_with("/target") ? http_answer(200, "") : redirect(302, "/target");
  };
  const std::string destination = url("/target") + "?token=hush";
  const test::TlsServer server(test::make_certificate("shop.test"), [&](test::TlsLine& line) {
    const bool first = line.read().starts_with("GET /a ");
    line.write(redirect(302, first ? "/b" : destination));
  });
  const std::string start =
      "tls: {verify: false}, url: 'https://127.0.0.1:" + std::to_string(server.port()) + "/a'";
  EXPECT_EQ(fixture.observe("http", start).failure(), "");
  EXPECT_EQ(fixture.observe("http", start + ", allow_downgrade: true").failure(), "");
  EXPECT_EQ(calls.size(), 2U);
  const test::Observation run = fixture.observe("http", start + ", allow_downgrade: false");
  EXPECT_EQ(run.failure(), "mismatch: redirected from https to http, to 'http://" +
                               peer.endpoint() + "', which allow_downgrade forbids");
  EXPECT_EQ(calls.size(), 2U);  // no request is sent
  // Neither the maximum of redirects nor a redirect from http to http is reported as a downgrade.
  EXPECT_EQ(fixture.observe("http", start + ", allow_downgrade: false, redirects: 1").failure(),
            "mismatch: more than 1 redirect: status 302, expected 2xx");
  EXPECT_EQ(observe(", allow_downgrade: false").failure(), "");
}

TEST_F(HttpTest, FollowsNoRedirectIfRedirectsIsZero) {
  answer_always(redirect(302, "/login"));
  EXPECT_EQ(observe(", redirects: 0, expect: {status: 302}").failure(), "");
  EXPECT_EQ(calls.size(), 1U);
}

TEST_F(HttpTest, ChangesTheMethodToGetByStatus) {
  int status_of_redirect = 0;
  answer = [&](const HttpCall& call) {
    return call.target == "/" ? redirect(status_of_redirect, "/target") : http_answer(200, "");
  };
  for (const int status : {301, 302, 303, 307, 308}) {
    status_of_redirect = status;
    calls.clear();
    EXPECT_EQ(observe(", method: POST, body: data").failure(), "");
    const bool keeps_method = status >= 307;
    EXPECT_EQ(calls.at(1).method, keeps_method ? "POST" : "GET") << status;
    EXPECT_EQ(calls.at(1).body, keeps_method ? "data" : "") << status;
  }
}

TEST_F(HttpTest, RemovesContentHeadersWithTheBody) {
  answer = [&](const HttpCall& call) {
    return call.target == "/" ? redirect(302, "/target") : http_answer(200, "");
  };
  EXPECT_EQ(
      observe(", method: POST, body: '{}', headers: {Content-Type: application/json}").failure(),
      "");
  EXPECT_EQ(calls.at(0).header("content-type"), "application/json");
  EXPECT_EQ(calls.at(1).header("content-type"), "");
}

TEST_F(HttpTest, SendsNoBodyToAnotherOrigin) {
  const test::Conversation other_server(fixture.loop, script());
  int status_of_redirect = 0;
  answer = [&](const HttpCall& call) {
    if (call.target == "/") {
      return redirect(status_of_redirect,
                      "http://" + other_server.endpoint() + "/target?token=hush");
    }
    return http_answer(200, "");
  };
  const std::string failure =
      "mismatch: redirected to 'http://" + other_server.endpoint() +
      "', another origin: only GET and HEAD without a body follow such a redirect";
  for (const int status : {307, 308}) {
    status_of_redirect = status;
    EXPECT_EQ(observe(", method: POST, body: hush").failure(), failure);
    EXPECT_EQ(observe(", method: DELETE").failure(), failure);
    EXPECT_EQ(observe(", body: hush").failure(), failure);
    EXPECT_EQ(other_server.accepted(), 0);
  }
  for (const int status : {301, 302, 303}) {
    status_of_redirect = status;
    calls.clear();
    EXPECT_EQ(observe(", method: POST, body: hush").failure(), "");
    EXPECT_EQ(calls.at(1).method, "GET");
    EXPECT_EQ(calls.at(1).body, "");
  }
  status_of_redirect = 307;
  calls.clear();
  EXPECT_EQ(observe(", method: HEAD").failure(), "");
  EXPECT_EQ(calls.at(1).method, "HEAD");
}

TEST_F(HttpTest, KeepsTheMethodHead) {
  answer = [&](const HttpCall& call) {
    return call.target == "/" ? redirect(303, "/target") : http_answer(200, "");
  };
  EXPECT_EQ(observe(", method: HEAD").failure(), "");
  EXPECT_EQ(calls.at(1).method, "HEAD");
}

TEST_F(HttpTest, RejectsARedirectToAnotherScheme) {
  answer_always(redirect(302, "file:///etc/passwd"));
  const test::Observation run = observe();
  EXPECT_EQ(run.reason(), "mismatch");
  EXPECT_TRUE(run.failure().contains("file:///etc/passwd")) << run.failure();
  EXPECT_EQ(calls.size(), 1U);
}

}  // namespace
}  // namespace vitalsd
