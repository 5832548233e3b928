// When objects that a probe watches become stale and expire.
#include "exporter/model/foreign.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/kept_connections.hpp"
#include "probes/net/offload.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

#include "unit/net/kubernetes/scripted_cluster.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/loop.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using namespace scripted;
using namespace std::chrono_literals;
using test::http_stream;
using testing::HasSubstr;

struct Object {
  std::string name;
  [[nodiscard]] std::string key() const { return name; }
  bool operator==(const Object&) const = default;
};

// The state of a probe with a server that returns one list, and `later` from then on.
class WatchedTest : public testing::Test {
 protected:
  using Freshness = std::pair<bool, std::optional<Failure>>;

  explicit WatchedTest(const Timeouts& timeouts = with_expiry()) : timeouts_(timeouts) {}

  static Timeouts with_expiry() {
    Timeouts timeouts = short_timeouts();
    timeouts.stale = 150ms;
    timeouts.expired = 600ms;
    return timeouts;
  }
  Freshness judge() {
    SampleSet run;
    const auto work = [&]() -> asio::awaitable<bool> {
      co_return co_await watched.judge(run, run);
    };
    const bool publishable = test::Task(shared.loop, work()).get();
    return {publishable, run.failure()};
  }
  [[nodiscard]] bool becomes(bool publishable, Reason reason, std::string_view detail) {
    return cluster.until([&] {
      const auto [publishable_now, failure] = judge();
      return publishable_now == publishable && failure && failure->reason == reason &&
             failure->detail.contains(detail);
    });
  }

  Timeouts timeouts_;
  Shared shared;
  bool reject_all = false;
  HttpScript::Reply later{"", true};  // to all requests but the first list
  int requests = 0;
  Cluster cluster{shared,
                  [this](const std::string& target) -> HttpScript::Reply {
                    if (reject_all) return later;
                    if (has(target, "sendInitialEvents")) return kNoWatchList;
                    if (!has(target, "watch=1")) {
                      return ++requests == 1 ? HttpScript::Reply{http_answer(200, list({"a"}, 7))}
                                             : later;
                    }
                    return later.stays ? HttpScript::Reply{http_stream(), true} : later;
                  },
                  timeouts_};
  Offload offload{shared.loop};
  net::KeptConnections kept;
  ForeignFamilies foreign;
  const Environment environment{.loop = shared.loop,
                                .wheel = shared.wheel,
                                .offload = offload,
                                .connecting = offload,
                                .computing = offload,
                                .files = shared.files,
                                .resolver = shared.resolver,
                                .tls = shared.tls,
                                .http = shared.http,
                                .kubernetes = cluster.client,
                                .kept = kept,
                                .foreign = foreign,
                                .shard = {}};
  vitalsd::kubernetes::Watched<Object> watched{
      environment, Query{.resource = kMaps},
      [](std::string_view bytes) { return Object{name_of_object(bytes)}; }};
};

// The server does not respond again.
TEST_F(WatchedTest, BecomesStaleThenExpires) {
  const auto [publishable, failure] = judge();
  EXPECT_TRUE(publishable);
  EXPECT_FALSE(failure.has_value());
  constexpr std::string_view kStale = "no data received for configmaps in the last";
  EXPECT_TRUE(becomes(true, Reason::timeout, kStale));
  EXPECT_EQ(watched.size(), 1U);
  EXPECT_TRUE(becomes(false, Reason::timeout, kStale));
}

// With the default times until the data is stale and expired, which a test does not reach.
class FreshWatchedTest : public WatchedTest {
 protected:
  FreshWatchedTest() : WatchedTest(short_timeouts()) {}
};

TEST_F(FreshWatchedTest, IsOverloadedWhileFresh) {
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(judge().first);
  EXPECT_TRUE(becomes(true, Reason::overload, "429"));
}

TEST_F(FreshWatchedTest, IsOverloadedWithoutAnyData) {
  reject_all = true;
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(becomes(false, Reason::overload, "429"));
}

TEST_F(WatchedTest, IsUnreadyInsteadOfOverloadedWhenStale) {
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(judge().first);
  EXPECT_TRUE(becomes(true, Reason::unready, "no data received for configmaps in the last "));
  EXPECT_THAT(judge().second->detail, HasSubstr("429"));
  EXPECT_TRUE(becomes(false, Reason::unready, "429"));
}

// After a restart of vitalsd, with an overloaded server.
TEST_F(WatchedTest, IsUnreadyInsteadOfOverloadedWithoutAnyData) {
  reject_all = true;
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(becomes(false, Reason::unready, "429"));
}

TEST_F(WatchedTest, KeepsOtherReasonsWhenStale) {
  later = {http_answer(403, "no")};
  EXPECT_TRUE(judge().first);
  EXPECT_TRUE(becomes(false, Reason::permission, "403"));
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
