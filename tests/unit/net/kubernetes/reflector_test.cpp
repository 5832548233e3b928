// A reflector with a scripted API server: failures that a real server produces too rarely, or not
// at every byte of a response.
#include "probes/net/kubernetes/reflector.hpp"

#include "probes/net/kubernetes/client.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unit/net/kubernetes/scripted_cluster.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/loop.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using namespace scripted;
using namespace std::chrono_literals;
using test::http_piece;
using test::http_stream;
using test::http_stream_end;
using testing::HasSubstr;

// Ends its own subscription in the n-th call.
class Leaving final : public Listener {
 public:
  explicit Leaving(int calls) : left_(calls) {}
  std::optional<Client::Subscription> subscription;

  void list_started() override { count(); }
  void updated(std::string_view /*object*/) override { count(); }
  void deleted(std::string_view /*object*/) override { count(); }
  void list_ended() override { count(); }

 private:
  void count() {
    EXPECT_TRUE(subscription.has_value()) << "is called after it has left";
    if (--left_ == 0) subscription.reset();
  }
  int left_;
};

TEST(Reflector, SurvivesAListenerThatLeavesInACall) {
  Shared shared;
  for (const bool watch_list : {false, true}) {
    const auto script = [&](const std::string& target) -> HttpScript::Reply {
      const bool is_list = has(target, "sendInitialEvents");
      if (is_list && !watch_list) return kNoWatchList;
      const std::string events = event("ADDED", object("a", 8)) + event("DELETED", object("a", 9));
      if (is_list) {
        // The script has no bookmark that ends the initial events, so they do not end.
        return {http_stream() + http_piece(events), true};
      }
      if (has(target, "watch=1")) return {http_stream() + http_piece(events), true};
      return {http_answer(200, list({"a", "b"}, 7))};
    };
    // Started, two objects, ended; then two events.
    const int calls = watch_list ? 3 : 6;
    for (int n = 1; n <= calls; ++n) {
      Cluster cluster(shared, script);
      Leaving leaving(n);
      leaving.subscription.emplace(cluster.client, Query{.resource = kMaps}, leaving);
      EXPECT_TRUE(cluster.until([&] { return !leaving.subscription.has_value(); })) << n;
      EXPECT_TRUE(cluster.until([&] { return cluster.client.running() == 0; })) << n;
      // The reflector works for the next listener.
      if (watch_list) continue;
      cluster.follow();
      EXPECT_TRUE(cluster.until([&] { return cluster.kept.lists == 1; })) << n;
    }
  }
}

TEST(Reflector, HonorsRetryAfter) {
  Shared shared;
  int requests = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (++requests == 1) return {http_answer(429, "slow down", "Retry-After: 1\r\n")};
    if (has(target, "sendInitialEvents")) return kNoWatchList;
    if (has(target, "watch=1")) return {http_stream(), true};
    return {http_answer(200, list({"a"}, 7))};
  };
  Cluster cluster(shared, script);
  const auto began = test::Clock::now();
  cluster.follow();
  ASSERT_TRUE(cluster.until([&] { return cluster.failure().has_value(); }));
  EXPECT_EQ(cluster.failure()->reason, Reason::overload);
  EXPECT_THAT(cluster.failure()->detail, HasSubstr("429"));
  ASSERT_TRUE(cluster.until([&] { return cluster.kept.lists == 1; }));
  EXPECT_GE(test::Clock::now() - began, 1s);
  EXPECT_FALSE(cluster.failure().has_value());
}

TEST(Reflector, RestartsTheListWhenItsTokenHasExpired) {
  Shared shared;
  int whole = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (has(target, "sendInitialEvents")) return kNoWatchList;
    if (has(target, "watch=1")) return {http_stream(), true};
    if (has(target, "continue=next")) {
      return {http_answer(410, kubernetes_envelope(status(410, "Expired")))};
    }
    if (has(target, "limit=")) return {http_answer(200, list({"a", "gone"}, 7, "next"))};
    ++whole;
    return {http_answer(200, list({"a", "b", "c"}, 9))};
  };
  Cluster cluster(shared, script);
  cluster.follow();
  ASSERT_TRUE(cluster.until([&] { return cluster.kept.lists == 1; }));
  EXPECT_EQ(cluster.kept.names, (Names{"a", "b", "c"}));
  EXPECT_EQ(whole, 1);
  EXPECT_FALSE(cluster.failure().has_value());
  ASSERT_TRUE(cluster.until([&] { return has(cluster.server.targets.back(), "watch=1"); }));
  EXPECT_THAT(cluster.server.targets.back(), HasSubstr("resourceVersion=9"));
}

TEST(Reflector, ListsAgainWhenItsRevisionIsGone) {
  for (const bool as_event : {false, true}) {
    int lists = 0;
    const auto script = [&](const std::string& target) -> HttpScript::Reply {
      if (has(target, "sendInitialEvents")) return kNoWatchList;
      if (!has(target, "watch=1")) {
        return {http_answer(200, ++lists == 1 ? list({"a", "gone"}, 7) : list({"a", "b"}, 20))};
      }
      if (has(target, "resourceVersion=20")) return {http_stream(), true};
      if (!as_event) return {http_answer(410, kubernetes_envelope(status(410, "Gone")))};
      return {http_stream() + http_piece(event("ERROR", status(410, "Expired"))), true};
    };
    Shared shared;
    Cluster cluster(shared, script);
    cluster.follow();
    ASSERT_TRUE(cluster.until([&] { return cluster.kept.lists == 2; })) << as_event;
    EXPECT_EQ(cluster.kept.names, (Names{"a", "b"}));
    EXPECT_FALSE(cluster.failure().has_value()) << "an expired revision is not a failure";
  }
}

TEST(Reflector, ContinuesAfterTheServerEndsAWatch) {
  Shared shared;
  int lists = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (has(target, "sendInitialEvents")) return kNoWatchList;
    if (!has(target, "watch=1")) return {http_answer(200, list({"a"}, ++lists * 7))};
    if (has(target, "resourceVersion=12")) return {http_stream(), true};
    return {http_stream() + http_piece(event("ADDED", object("b", 9))) +
            http_piece(event("BOOKMARK", object("", 12))) + http_stream_end()};
  };
  Cluster cluster(shared, script);
  cluster.follow();
  ASSERT_TRUE(cluster.until([&] { return cluster.server.targets.size() == 4; }));
  EXPECT_THAT(cluster.server.targets.back(), HasSubstr("resourceVersion=12"));
  EXPECT_EQ(cluster.kept.names, (Names{"a", "b"}));
  EXPECT_EQ(lists, 1);
  EXPECT_FALSE(cluster.failure().has_value());
}

TEST(Reflector, RecoversFromAListTruncatedAtAnyByte) {
  const std::string good = http_answer(200, list({"a", "b"}, 7));
  std::vector<int> lists(good.size());
  Shared shared;
  std::vector<std::unique_ptr<Cluster>> clusters;
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto script = [&, size](const std::string& target) -> HttpScript::Reply {
      if (has(target, "sendInitialEvents")) return kNoWatchList;
      if (has(target, "watch=1")) return {http_stream(), true};
      return {++lists[size] == 1 ? good.substr(0, size) : good};
    };
    clusters.push_back(std::make_unique<Cluster>(shared, script));
    clusters.back()->follow();
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    Cluster& cluster = *clusters[size];
    ASSERT_TRUE(cluster.until([&] { return cluster.kept.lists == 1; })) << size;
    EXPECT_EQ(cluster.kept.names, (Names{"a", "b"})) << size;
    EXPECT_EQ(lists[size], 2) << size;
  }
}

// The server continues from the requested revision, as a real server does.
TEST(Reflector, RecoversFromAWatchTruncatedAtAnyByte) {
  const std::map<int, std::string> history = {
      {8, event("ADDED", object("c", 8))},
      {9, event("DELETED", object("a", 9))},
      {10, event("MODIFIED", object("b", 10))},
      {11, event("BOOKMARK", object("", 11))},
  };
  const auto since = [&](const std::string& target) {
    const std::string_view key = "resourceVersion=";
    const int from = std::stoi(target.substr(target.find(key) + key.size()));
    std::string out = http_stream();
    for (const auto& [version, bytes] : history) {
      if (version > from) out += http_piece(bytes);
    }
    return out;
  };
  const std::size_t whole = since("resourceVersion=7").size();
  std::vector<int> watches(whole);
  Shared shared;
  std::vector<std::unique_ptr<Cluster>> clusters;
  for (std::size_t size = 0; size < whole; ++size) {
    const auto script = [&, size](const std::string& target) -> HttpScript::Reply {
      if (has(target, "sendInitialEvents")) return kNoWatchList;
      if (!has(target, "watch=1")) {
        return {http_answer(200, watches[size] == 0 ? list({"a", "b"}, 7) : list({"b"}, 11, "on"))};
      }
      if (++watches[size] == 1) return {since(target).substr(0, size)};
      return {since(target), true};
    };
    clusters.push_back(std::make_unique<Cluster>(shared, script));
    clusters.back()->follow();
  }
  for (std::size_t size = 0; size < whole; ++size) {
    Cluster& cluster = *clusters[size];
    ASSERT_TRUE(cluster.until([&] {
      return watches[size] == 2 && cluster.kept.names == Names{"b", "c"} && !cluster.failure();
    })) << size
        << (cluster.failure() ? cluster.failure()->detail : "");
    EXPECT_EQ(cluster.kept.lists, 1) << "a broken watch does not require a list: " << size;
  }
}

// Some servers send nothing while a resource does not change. They respond to each new watch, so
// the silence is not a failure.
TEST(Reflector, RenewsASilentWatch) {
  Shared shared;
  int watches = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (has(target, "sendInitialEvents")) return kNoWatchList;
    if (!has(target, "watch=1")) return {http_answer(200, list({"a"}, 7))};
    if (++watches < 4) return {http_stream(), true};
    return {http_stream() + http_piece(event("ADDED", object("b", 8))), true};
  };
  Timeouts timeouts = short_timeouts();
  timeouts.watch = 50ms;
  Cluster cluster(shared, script, timeouts);
  cluster.follow();
  bool failed = false;
  ASSERT_TRUE(cluster.until([&] {
    failed |= cluster.failure().has_value();
    return cluster.kept.names.contains("b");
  }));
  EXPECT_FALSE(failed);
  EXPECT_EQ(cluster.kept.lists, 1);
}

TEST(Reflector, DetectsAReplacedStoreAfterASilence) {
  Shared shared;
  int watches = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (has(target, "sendInitialEvents")) return kNoWatchList;
    if (!has(target, "watch=1")) {
      return {http_answer(200, watches == 0 ? list({"gone"}, 7) : list({"a"}, 3))};
    }
    ++watches;
    return {http_stream(), true};
  };
  Timeouts timeouts = short_timeouts();
  timeouts.watch = 50ms;
  Cluster cluster(shared, script, timeouts);
  cluster.follow();
  ASSERT_TRUE(cluster.until([&] { return cluster.kept.names == Names{"a"}; }));
  EXPECT_FALSE(cluster.failure().has_value());
}

TEST(Reflector, FailsWhenTheServerStopsResponding) {
  Shared shared;
  int watches = 0;
  int attempts = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (has(target, "sendInitialEvents")) return kNoWatchList;
    if (!has(target, "watch=1")) {
      if (watches == 1 && ++attempts == 1) return {"", true};
      return {http_answer(200, list({"a"}, 7))};
    }
    if (++watches == 1) return {http_stream(), true};
    return {http_stream() + http_piece(event("ADDED", object("b", 8))), true};
  };
  Timeouts timeouts = short_timeouts();
  timeouts.response = 200ms;
  timeouts.watch = 50ms;
  timeouts.min_delay = timeouts.max_delay = 50ms;  // so that the test observes the failure
  Cluster cluster(shared, script, timeouts);
  cluster.follow();
  ASSERT_TRUE(cluster.until([&] { return cluster.failure().has_value(); }));
  EXPECT_EQ(cluster.failure()->reason, Reason::timeout);
  EXPECT_THAT(cluster.failure()->detail, HasSubstr("no data received for configmaps while "));
  ASSERT_TRUE(cluster.until([&] { return cluster.kept.names.contains("b"); }));
  EXPECT_EQ(cluster.kept.lists, 1);
}

// The token of the kubeconfig is "secret".
TEST(Reflector, ShowsErrorsWithoutTheTokenAndControlCharacters) {
  Shared shared;
  Cluster cluster(shared, [](const std::string&) -> HttpScript::Reply {
    return {http_answer(403, "no \x1b[31msecret\u202e")};
  });
  cluster.follow();
  ASSERT_TRUE(cluster.until([&] { return cluster.failure().has_value(); }));
  EXPECT_EQ(cluster.failure()->detail,
            "cannot watch configmaps: the API server returned 403: no  [31m***\ufffd");
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
