#include "exporter/web/pushes.hpp"

#include <chrono>
#include <expected>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

WebRoute route(std::string name, std::optional<std::string> token = "secret-of-the-job") {
  WebRoute route{
      .path = "/api/v1/jobs/" + name, .probe = std::move(name), .max_body = 10, .token = {}};
  if (token) route.token = [token] { return std::expected<std::string, std::string>(*token); };
  return route;
}

class PushesTest : public testing::Test {
 protected:
  PushesTest() { pushes.set({route("nightly"), route("nightly-2"), route("open", std::nullopt)}); }

  std::optional<Pushes::Admission> admit(std::string_view target,
                                         std::string_view authorization = kRight) {
    return pushes.admit({method, target, "", ""}, authorization, now);
  }
  int status(std::string_view target, std::string_view authorization = kRight) {
    const auto admission = admit(target, authorization);
    if (!admission) return 404;
    return admission->refusal ? admission->refusal->status : 200;
  }

  static constexpr std::string_view kRight = "Bearer secret-of-the-job";

  Pushes pushes;
  std::string_view method = "POST";
  Pushes::Clock::time_point now{1h};
};

TEST_F(PushesTest, FindsTheRouteOfAPath) {
  const auto own = admit("/api/v1/jobs/nightly?rid=7");
  ASSERT_TRUE(own);
  EXPECT_EQ(own->push.probe, "nightly");
  EXPECT_EQ(own->push.path, "");
  EXPECT_EQ(own->push.query, "rid=7");
  EXPECT_EQ(own->max_body, 10U);
  EXPECT_TRUE(own->has_token);
  const auto below = admit("http://h/api/v1/jobs/nightly-2/exit/3");
  ASSERT_TRUE(below);
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
    EXPECT_FALSE(admit(target)) << target;
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
  EXPECT_EQ(admit("/api/v1/jobs/nightly", "")->refusal->headers.at(0).first, "WWW-Authenticate");
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
  EXPECT_FALSE(admit("/api/v1/jobs/open")->has_token);  // basic_auth applies
}

TEST_F(PushesTest, ATokenThatCannotBeReadIsUnavailable) {
  WebRoute broken = route("nightly");
  broken.token = [] {
    return std::expected<std::string, std::string>(std::unexpected("cannot read /secret"));
  };
  pushes.set({broken});
  const auto admission = admit("/api/v1/jobs/nightly");
  EXPECT_EQ(admission->refusal->status, 503);
  EXPECT_EQ(admission->refusal->headers.at(0).first, "Retry-After");
  EXPECT_FALSE(admission->refusal->body.contains("/secret"));
}

TEST_F(PushesTest, AcceptsPostOnly) {
  for (const std::string_view other : {"GET", "HEAD", "PUT", "DELETE", "post"}) {
    method = other;
    EXPECT_EQ(status("/api/v1/jobs/nightly"), 405) << other;
  }
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

TEST_F(PushesTest, ARouteThatIsGoneIsNotFound) {
  pushes.set({});
  EXPECT_FALSE(admit("/api/v1/jobs/nightly"));
}

}  // namespace
}  // namespace vitalsd
