// The credentials of kind `http`.
#include <string>
#include <tuple>

#include "unit/probes/http/http_fixture.hpp"
#include "unit/support/conversation.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpCall;
using test::HttpTest;

class HttpCredentials : public HttpTest {
 protected:
  [[nodiscard]] std::string basic() const {
    return ", user: me, password: {file: " + quoted(secret) + '}';
  }

  test::TempDirectory directory;
  std::string secret = directory.file("secret", "hush\n");
};

TEST_F(HttpCredentials, AreSent) {
  EXPECT_EQ(observe(basic()).failure(), "");
  EXPECT_EQ(calls.at(0).header("authorization"), "Basic bWU6aHVzaA==");
  EXPECT_EQ(observe(", bearer_token: {file: " + quoted(secret) + '}').failure(), "");
  EXPECT_EQ(calls.at(1).header("authorization"), "Bearer hush");
}

TEST_F(HttpCredentials, AreReadInEachRun) {
  const auto probe = fixture.make("http", "url: " + quoted(url()) + basic());
  fixture.observe(*probe);
  std::ignore = directory.file("secret", "rotated");
  fixture.observe(*probe);
  EXPECT_EQ(calls.at(1).header("authorization"), "Basic bWU6cm90YXRlZA==");
}

TEST_F(HttpCredentials, PreventTheRequestIfTheyCannotBeRead) {
  const test::Observation run =
      observe(", user: me, password: {file: " + quoted(directory.path("missing")) + '}');
  EXPECT_EQ(run.reason(), "config");
  EXPECT_EQ(peer.accepted(), 0);
}

TEST_F(HttpCredentials, AreNotSentToAnotherOrigin) {
  const test::Conversation other_server(fixture.loop, script());
  const std::string destination = "http://" + other_server.endpoint() + "/target";
  answer = [&](const HttpCall& call) {
    return call.target == "/target" ? http_answer(200, "") : redirect(302, destination);
  };
  const test::Observation run =
      observe(basic() + ", headers: {Cookie: session=hush, X-Api-Key: hush, Host: h.test}");
  EXPECT_EQ(run.failure(), "");
  ASSERT_EQ(calls.size(), 2U);
  EXPECT_EQ(calls[0].header("cookie"), "session=hush");
  EXPECT_EQ(calls[0].header("x-api-key"), "hush");
  EXPECT_EQ(calls[0].header("host"), "h.test");
  EXPECT_EQ(calls[1].header("authorization"), "");
  EXPECT_EQ(calls[1].header("x-api-key"), "");
  EXPECT_EQ(calls[1].header("cookie"), "");
  EXPECT_EQ(calls[1].header("host"), other_server.endpoint());
}

// The other origin could choose the path.
TEST_F(HttpCredentials, AreNotSentAfterARedirectBack) {
  const test::Conversation other_server(fixture.loop, script());
  answer = [&](const HttpCall& call) {
    if (call.target == "/") return redirect(302, "http://" + other_server.endpoint() + "/target");
    if (call.target == "/target") return redirect(302, url("/back"));
    return http_answer(200, "");
  };
  EXPECT_EQ(observe(basic() + ", headers: {X-Api-Key: hush}").failure(), "");
  EXPECT_EQ(calls.at(2).target, "/back");
  EXPECT_EQ(calls.at(2).header("authorization"), "");
  EXPECT_EQ(calls.at(2).header("x-api-key"), "");
}

TEST_F(HttpCredentials, AreSentAfterARedirectToTheSameOrigin) {
  answer = [&](const HttpCall& call) {
    return call.target == "/target" ? http_answer(200, "") : redirect(301, "/target");
  };
  EXPECT_EQ(observe(basic() + ", headers: {X-Api-Key: hush}").failure(), "");
  EXPECT_EQ(calls.at(1).header("authorization"), calls.at(0).header("authorization"));
  EXPECT_EQ(calls.at(1).header("x-api-key"), "hush");
}

TEST_F(HttpCredentials, AreConcealedInMessages) {
  answer_always(http_answer(401, "who?"));
  EXPECT_EQ(observe(basic(), "/?token=hush").failure(), "mismatch: status 401, expected 2xx");
  answer_always("nonsense\r\n\r\n");
  const test::Observation run = observe(basic(), "/?token=hush");
  EXPECT_TRUE(run.threw());
  EXPECT_FALSE(run.text().contains("hush")) << run.text();
}

// The error about an invalid redirect quotes it.
TEST_F(HttpCredentials, AreConcealedIfTheServerRepeatsThem) {
  const auto repeated = [&](const std::string& header, const std::string& options) {
    answer = [header](const HttpCall& call) {
      return redirect(302, "http://%/" + call.header(header));
    };
    return observe(options).failure();
  };
  const auto shown = [](const std::string& text) {
    return "mismatch: redirected to 'http://%/" + text + "', which is not a valid URL";
  };
  EXPECT_EQ(repeated("authorization", basic()), shown("Basic ***"));
  EXPECT_EQ(repeated("authorization", ", bearer_token: {file: " + quoted(secret) + '}'),
            shown("Bearer ***"));
  EXPECT_EQ(repeated("x-api-key", ", headers: {X-Api-Key: abcd-1234}"), shown("***"));
  EXPECT_EQ(repeated("authorization", ", headers: {Authorization: Token abcd-1234}"), shown("***"));
  answer_always(redirect(302, "http://%/abcd-1234"));
  EXPECT_EQ(observe(", headers: {Authorization: Token abcd-1234}").failure(), shown("***"));
  EXPECT_EQ(observe(", headers: {Cookie: 'id=1; session=abcd-1234'}").failure(), shown("***"));
  EXPECT_EQ(repeated("host", ", headers: {Host: web.test}"), shown("web.test"));
  EXPECT_EQ(repeated("x-forwarded-proto", ", headers: {X-Forwarded-Proto: http}"), shown("http"));
}

// The query of the redirect is not shown, and the secret has a '?'.
TEST_F(HttpCredentials, AreConcealedBeforeAQuery) {
  answer_always(redirect(302, "http://%/abcd?1234"));
  EXPECT_EQ(observe(", headers: {Authorization: 'Token abcd?1234'}").failure(),
            "mismatch: redirected to 'http://%/***…', which is not a valid URL");
}

// A message shows 80 bytes of a text, which may end in a secret.
TEST_F(HttpCredentials, AreConcealedWhereATextIsCut) {
  const std::string filler(60, 'p');
  const std::string bearer = ", bearer_token: pTOKabcdefghijklmn";
  for (std::size_t more = 0; more < 20; ++more) {
    const std::string text = filler + std::string(more, 'p');
    answer = [text](const HttpCall& call) {
      return redirect(302, "ftp://" + text + call.header("authorization").substr(7));
    };
    const std::string redirected = observe(bearer).failure();
    EXPECT_TRUE(redirected.contains("***")) << redirected;
    EXPECT_FALSE(redirected.contains("pT")) << redirected;
    answer = [text](const HttpCall& call) {
      return http_answer(200, "{\"a\":\"" + text + call.header("authorization").substr(7) + "\"}");
    };
    const std::string differs = observe(bearer + ", expect: {json: {/a: ok}}").failure();
    EXPECT_TRUE(differs.contains("ppp")) << differs;
    EXPECT_FALSE(differs.contains("pT")) << differs;
  }
}

}  // namespace
}  // namespace vitalsd
