#include "exporter/web/pushes.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

WebRoute route(std::string name, std::optional<std::string> token = "secret-of-the-job") {
  WebRoute route{
      .path = "/api/v1/jobs/" + name, .probe = std::move(name), .max_body = 10, .token = {}};
  if (token) route.token = [token](const WebRoute::TokenDone& done) { done(true, *token); };
  return route;
}

class PushesTest : public testing::Test {
 protected:
  PushesTest() { pushes.set({route("nightly"), route("nightly-2"), route("open", std::nullopt)}); }

  [[nodiscard]] std::optional<Pushes::Match> find(std::string_view target) const {
    return pushes.find({method, target, "", ""});
  }
  [[nodiscard]] std::optional<std::string> token_of(std::string_view route) const {
    std::optional<std::string> token;
    if (const auto read = pushes.token_of(route)) {
      read([&](bool, std::string text) { token = std::move(text); });
    }
    return token;
  }
  std::optional<WebResponse> judge(std::string_view route, std::string_view authorization) {
    return pushes.judge(route, token_of(route), method, authorization, has_password, now);
  }
  int status(std::string_view route, std::string_view authorization = kRight) {
    const auto refusal = judge(route, authorization);
    return refusal ? refusal->status : 200;
  }

  static constexpr std::string_view kRight = "Bearer secret-of-the-job";

  Pushes pushes;
  std::string_view method = "POST";
  bool has_password = true;
  Pushes::Clock::time_point now{1h};
};

TEST_F(PushesTest, FindsTheRouteOfAPath) {
  const auto own = find("/api/v1/jobs/nightly?rid=7");
  ASSERT_TRUE(own);
  EXPECT_EQ(own->route, "/api/v1/jobs/nightly");
  EXPECT_EQ(own->push.probe, "nightly");
  EXPECT_EQ(own->push.route, own->route);
  EXPECT_EQ(own->push.path, "");
  EXPECT_EQ(own->push.query, "rid=7");
  EXPECT_EQ(own->max_body, 10U);
  const auto below = find("http://h/api/v1/jobs/nightly-2/exit/3");
  ASSERT_TRUE(below);
  EXPECT_EQ(below->route, "/api/v1/jobs/nightly-2");
  EXPECT_EQ(below->push.probe, "nightly-2");
  EXPECT_EQ(below->push.path, "/exit/3");
  EXPECT_EQ(below->push.query, "");
}

TEST_F(PushesTest, OtherPathsHaveNoRoute) {
  const std::string deep = "/x/x/x/x/x/x/x/x/api/v1/jobs/nightly";
  for (const std::string& target :
       {std::string("/api/v1/jobs"), std::string("/api/v1/jobs/"),
        std::string("/api/v1/jobs/night"), std::string("/api/v1/jobs/nightly2"),
        std::string("/metrics"), std::string(), std::string("/"),
        std::string("//api/v1/jobs/nightly"), deep, std::string(16'000, '/')}) {
    EXPECT_FALSE(find(target)) << target;
  }
}

TEST_F(PushesTest, RequiresTheTokenOfTheRoute) {
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 200);
  EXPECT_EQ(status("/api/v1/jobs/nightly", "bearer secret-of-the-job"), 200);
  for (const std::string_view wrong :
       {"", "Bearer", "Bearer ", "Bearer secret-of-the-jo", "Bearer secret-of-the-job2",
        "Basic secret-of-the-job", "secret-of-the-job", "Bearer  secret-of-the-job"}) {
    EXPECT_EQ(status("/api/v1/jobs/nightly", wrong), 401) << wrong;
  }
  EXPECT_EQ(judge("/api/v1/jobs/nightly", "")->headers.at(0).first, "WWW-Authenticate");
}

TEST_F(PushesTest, AnEmptyTokenAcceptsNoRequest) {
  pushes.set({route("nightly", "")});
  for (const std::string_view empty : {"", "Bearer", "Bearer "}) {
    EXPECT_EQ(status("/api/v1/jobs/nightly", empty), 401) << empty;
  }
}

TEST_F(PushesTest, ARouteWithoutATokenAcceptsEveryRequest) {
  EXPECT_EQ(status("/api/v1/jobs/open", ""), 200);
  EXPECT_EQ(status("/api/v1/jobs/open", "Basic eDp5"), 200);
  EXPECT_FALSE(pushes.token_of("/api/v1/jobs/open"));  // basic_auth applies
}

TEST_F(PushesTest, ATokenThatWasReadIsRequiredAfterTheRoutesAreReplaced) {
  const auto token = token_of("/api/v1/jobs/nightly");
  pushes.set({route("nightly", std::nullopt)});
  const auto refusal = pushes.judge("/api/v1/jobs/nightly", token, method, "", true, now);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
}

TEST_F(PushesTest, ATokenThatWasNotReadAcceptsNoRequest) {
  const auto refusal =
      pushes.judge("/api/v1/jobs/nightly", std::nullopt, method, kRight, true, now);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 401);
}

TEST_F(PushesTest, AcceptsPostOnly) {
  for (const std::string_view other : {"GET", "HEAD", "PUT", "DELETE", "post"}) {
    method = other;
    EXPECT_EQ(status("/api/v1/jobs/nightly"), 405) << other;
  }
}

TEST_F(PushesTest, ARouteMayHaveOtherMethods) {
  WebRoute pushed = route("nightly");
  pushed.methods = {"POST", "PUT", "DELETE"};
  pushes.set({pushed});
  for (const std::string_view valid : {"POST", "PUT", "DELETE"}) {
    method = valid;
    EXPECT_EQ(status("/api/v1/jobs/nightly"), 200) << valid;
    EXPECT_EQ(find("/api/v1/jobs/nightly")->push.method, valid);
  }
  method = "GET";
  const auto refusal = judge("/api/v1/jobs/nightly", kRight);
  ASSERT_TRUE(refusal);
  EXPECT_EQ(refusal->status, 405);
  EXPECT_EQ(refusal->headers.at(0).second, "POST, PUT, DELETE");
}

TEST_F(PushesTest, LimitsTheRequestsOfARoute) {
  int accepted = 0;
  while (status("/api/v1/jobs/nightly") == 200) ++accepted;
  EXPECT_EQ(accepted, 20);
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 429);
  EXPECT_EQ(status("/api/v1/jobs/nightly-2"), 200);
  pushes.set({route("nightly")});  // a reload does not reset the limit
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 429);
  now += 1s;
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 200);
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 200);
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 429);
}

TEST_F(PushesTest, RequestsWithoutTheTokenDoNotUseTheLimitOfOthers) {
  int refused = 0;
  while (status("/api/v1/jobs/nightly", "Bearer guess") == 401) ++refused;
  EXPECT_EQ(refused, 20);
  EXPECT_EQ(status("/api/v1/jobs/nightly", "Bearer guess"), 429);
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 200);
}

// Regression: requests without the password used up the limit of a route whose requests need the
// password of the server.
TEST_F(PushesTest, RequestsWithoutThePasswordDoNotUseTheLimitOfOthers) {
  has_password = false;
  int refused = 0;
  while (status("/api/v1/jobs/open", "") == 401) ++refused;
  EXPECT_EQ(refused, 20);
  EXPECT_EQ(status("/api/v1/jobs/open", ""), 429);
  now += 1s;
  EXPECT_TRUE(judge("/api/v1/jobs/open", "")->headers.at(0).second.starts_with("Basic"));
  has_password = true;
  EXPECT_EQ(status("/api/v1/jobs/open", ""), 200);
}

TEST_F(PushesTest, LimitsTheReadsOfAToken) {
  const std::string path = "/api/v1/jobs/nightly";
  int reads = 0;
  for (; !pushes.kept_token(path, now); ++reads) pushes.keep_token(path, "token-7");
  EXPECT_EQ(reads, 20);
  EXPECT_EQ(pushes.kept_token(path, now), Pushes::Token("token-7"));
  pushes.set({route("nightly")});  // another configuration may have another token
  EXPECT_EQ(pushes.kept_token(path, now), std::make_optional(Pushes::Token()));
  now += 1s;
  EXPECT_FALSE(pushes.kept_token(path, now));
  EXPECT_FALSE(pushes.kept_token("/api/v1/jobs/nightly-2", now));
}

TEST_F(PushesTest, ARouteThatIsGoneIsNotFound) {
  pushes.set({});
  EXPECT_FALSE(find("/api/v1/jobs/nightly"));
  EXPECT_FALSE(pushes.token_of("/api/v1/jobs/nightly"));
  EXPECT_EQ(status("/api/v1/jobs/nightly"), 404);
}

}  // namespace
}  // namespace vitalsd
