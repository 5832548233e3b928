// A reflector beside an API server that answers by a script: what a real one does too seldom, or
// never at the byte where it would hurt.
#include "probes/net/kubernetes/reflector.hpp"

#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/kubernetes/client.hpp"
#include "probes/net/kubernetes/message.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/tls.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/http_script.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/protobuf.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::http_piece;
using test::http_stream;
using test::http_stream_end;
using test::HttpScript;
using test::kubernetes_envelope;
using test::Message;
using testing::HasSubstr;
using Names = std::set<std::string>;

constexpr Resource kMaps{.group = "", .version = "v1", .plural = "configmaps"};

// ---- what the server sends ----------------------------------------------------------------------

Message object(std::string_view name, int version) {
  return Message().message(1, Message().text(1, name).text(6, std::to_string(version)));
}

std::string list(const Names& names, int version, std::string_view token = "") {
  std::vector<Message> objects;
  objects.reserve(names.size());
  for (const std::string& name : names) objects.push_back(object(name, version));
  return test::kubernetes_list(objects, version, token);
}

Message status(int code, std::string_view reason) {
  return Message().text(2, "Failure").text(3, "scripted").text(4, reason).number(6, code);
}

std::string event(std::string_view type, const Message& what) {
  const std::string frame =
      Message().text(1, type).message(2, Message().text(1, kubernetes_envelope(what))).bytes();
  std::string out;
  for (int shift = 24; shift >= 0; shift -= 8) {
    out += static_cast<char>(frame.size() >> static_cast<unsigned>(shift) & 0xff);
  }
  return out + frame;
}

// ---- who listens --------------------------------------------------------------------------------

std::string name_of_object(std::string_view bytes) {
  std::string name;
  for_each_field(bytes, [&](Field& field) {
    if (field.tag() != 1) return;
    for_each_field(field.bytes(), [&](Field& meta) {
      if (meta.tag() == 1) name = meta.bytes();
    });
  });
  return name;
}

// As Listener asks: what a list does not name is forgotten at its end, and not before.
class Kept final : public Listener {
 public:
  Names names;
  int lists = 0;  // that have ended

  void list_started() override { listed_.clear(); }
  void updated(std::string_view object) override {
    names.insert(name_of_object(object));
    listed_.insert(name_of_object(object));
  }
  void deleted(std::string_view object) override { names.erase(name_of_object(object)); }
  void list_ended() override {
    names = listed_;
    ++lists;
  }

 private:
  Names listed_;
};

// What worlds may share, so that many of them take no longer than one.
struct Ground {
  asio::io_context loop;
  TimerWheel wheel{loop};
  Resolver resolver{loop, wheel, {}};
  TlsContexts tls;
  HttpClient http{loop, wheel, resolver, tls};
};

Patience impatient() {
  Patience less;
  less.answer = less.watch = 5s;
  less.min_delay = less.max_delay = 1ms;
  return less;
}

// A server and a client of its own.
class World {
 public:
  World(Ground& ground, HttpScript::Script script, const Patience& less = impatient())
      : server(ground.loop, std::move(script)),
        client(ground.loop, ground.wheel, ground.http, less),
        loop_(ground.loop) {
    client.set_access({.kubeconfig = scratch_.file("kubeconfig", test::kubeconfig_of(server.url())),
                       .context = ""});
  }
  ~World() {
    subscription_.reset();
    client.stop();
    EXPECT_TRUE(until([this] { return client.running() == 0; }));
  }
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  void follow() { subscription_.emplace(client, Query{.resource = kMaps}, kept); }
  template <class Condition>
  [[nodiscard]] bool until(const Condition& condition) {
    return test::run_until(loop_, condition);
  }
  [[nodiscard]] const std::optional<Failure>& failure() const {
    return subscription_->reflector().failure();
  }

  HttpScript server;
  Kept kept;
  Client client;

 private:
  asio::io_context& loop_;
  test::TempDirectory scratch_;
  std::optional<Client::Subscription> subscription_;
};

bool asks(std::string_view target, std::string_view parameter) {
  return target.contains(parameter);
}

// Of a server that has no WatchList.
const HttpScript::Reply kNoWatchList{http_answer(400, "sendInitialEvents is forbidden")};

// ---- tests --------------------------------------------------------------------------------------

TEST(Reflector, WaitsAsLongAsTheServerAsks) {
  Ground ground;
  int requests = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (++requests == 1) return {http_answer(429, "slow down", "Retry-After: 1\r\n")};
    if (asks(target, "sendInitialEvents")) return kNoWatchList;
    if (asks(target, "watch=1")) return {http_stream(), true};
    return {http_answer(200, list({"a"}, 7))};
  };
  World world(ground, script);
  const auto began = test::Clock::now();
  world.follow();
  ASSERT_TRUE(world.until([&] { return world.failure().has_value(); }));
  EXPECT_EQ(world.failure()->reason, Reason::overload);
  EXPECT_THAT(world.failure()->detail, HasSubstr("429"));
  ASSERT_TRUE(world.until([&] { return world.kept.lists == 1; }));
  EXPECT_GE(test::Clock::now() - began, 1s);
  EXPECT_FALSE(world.failure().has_value());
}

TEST(Reflector, BeginsTheListAnewWhenItsTokenHasExpired) {
  Ground ground;
  int whole = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (asks(target, "sendInitialEvents")) return kNoWatchList;
    if (asks(target, "watch=1")) return {http_stream(), true};
    if (asks(target, "continue=next")) {
      return {http_answer(410, kubernetes_envelope(status(410, "Expired")))};
    }
    if (asks(target, "limit=")) return {http_answer(200, list({"a", "gone"}, 7, "next"))};
    ++whole;
    return {http_answer(200, list({"a", "b", "c"}, 9))};
  };
  World world(ground, script);
  world.follow();
  ASSERT_TRUE(world.until([&] { return world.kept.lists == 1; }));
  EXPECT_EQ(world.kept.names, (Names{"a", "b", "c"}));
  EXPECT_EQ(whole, 1);
  EXPECT_FALSE(world.failure().has_value());
  ASSERT_TRUE(world.until([&] { return asks(world.server.targets.back(), "watch=1"); }));
  EXPECT_THAT(world.server.targets.back(), HasSubstr("resourceVersion=9"));
}

TEST(Reflector, ListsAnewWhereItsRevisionIsGone) {
  for (const bool as_event : {false, true}) {
    int lists = 0;
    const auto script = [&](const std::string& target) -> HttpScript::Reply {
      if (asks(target, "sendInitialEvents")) return kNoWatchList;
      if (!asks(target, "watch=1")) {
        return {http_answer(200, ++lists == 1 ? list({"a", "gone"}, 7) : list({"a", "b"}, 20))};
      }
      if (asks(target, "resourceVersion=20")) return {http_stream(), true};
      if (!as_event) return {http_answer(410, kubernetes_envelope(status(410, "Gone")))};
      return {http_stream() + http_piece(event("ERROR", status(410, "Expired"))), true};
    };
    Ground ground;
    World world(ground, script);
    world.follow();
    ASSERT_TRUE(world.until([&] { return world.kept.lists == 2; })) << as_event;
    EXPECT_EQ(world.kept.names, (Names{"a", "b"}));
    EXPECT_FALSE(world.failure().has_value()) << "it is no fault";
  }
}

TEST(Reflector, GoesOnAfterAWatchThatEndsInItsTime) {
  Ground ground;
  int lists = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (asks(target, "sendInitialEvents")) return kNoWatchList;
    if (!asks(target, "watch=1")) return {http_answer(200, list({"a"}, ++lists * 7))};
    if (asks(target, "resourceVersion=12")) return {http_stream(), true};
    return {http_stream() + http_piece(event("ADDED", object("b", 9))) +
            http_piece(event("BOOKMARK", object("", 12))) + http_stream_end()};
  };
  World world(ground, script);
  world.follow();
  ASSERT_TRUE(world.until([&] { return world.server.targets.size() == 4; }));
  EXPECT_THAT(world.server.targets.back(), HasSubstr("resourceVersion=12"));
  EXPECT_EQ(world.kept.names, (Names{"a", "b"}));
  EXPECT_EQ(lists, 1);
  EXPECT_FALSE(world.failure().has_value());
}

TEST(Reflector, SurvivesAListThatIsCutOffAnywhere) {
  const std::string good = http_answer(200, list({"a", "b"}, 7));
  std::vector<int> lists(good.size());
  Ground ground;
  std::vector<std::unique_ptr<World>> worlds;
  for (std::size_t size = 0; size < good.size(); ++size) {
    const auto script = [&, size](const std::string& target) -> HttpScript::Reply {
      if (asks(target, "sendInitialEvents")) return kNoWatchList;
      if (asks(target, "watch=1")) return {http_stream(), true};
      return {++lists[size] == 1 ? good.substr(0, size) : good};
    };
    worlds.push_back(std::make_unique<World>(ground, script));
    worlds.back()->follow();
  }
  for (std::size_t size = 0; size < good.size(); ++size) {
    World& world = *worlds[size];
    ASSERT_TRUE(world.until([&] { return world.kept.lists == 1; })) << size;
    EXPECT_EQ(world.kept.names, (Names{"a", "b"})) << size;
    EXPECT_EQ(lists[size], 2) << size;
  }
}

// The server goes on from the revision that it is asked for, as a real one does.
TEST(Reflector, SurvivesAWatchThatIsCutOffAnywhere) {
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
  Ground ground;
  std::vector<std::unique_ptr<World>> worlds;
  for (std::size_t size = 0; size < whole; ++size) {
    const auto script = [&, size](const std::string& target) -> HttpScript::Reply {
      if (asks(target, "sendInitialEvents")) return kNoWatchList;
      if (!asks(target, "watch=1")) {
        return {http_answer(200, watches[size] == 0 ? list({"a", "b"}, 7) : list({"b"}, 11, "on"))};
      }
      if (++watches[size] == 1) return {since(target).substr(0, size)};
      return {since(target), true};
    };
    worlds.push_back(std::make_unique<World>(ground, script));
    worlds.back()->follow();
  }
  for (std::size_t size = 0; size < whole; ++size) {
    World& world = *worlds[size];
    ASSERT_TRUE(world.until([&] {
      return watches[size] == 2 && world.kept.names == Names{"b", "c"} && !world.failure();
    })) << size
        << (world.failure() ? world.failure()->detail : "");
    EXPECT_EQ(world.kept.lists, 1) << "a broken watch is no reason to list: " << size;
  }
}

// As some servers do where nothing changes. Each new watch is heard, so that nobody is told.
TEST(Reflector, AsksAgainWhereAWatchIsSilent) {
  Ground ground;
  int watches = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (asks(target, "sendInitialEvents")) return kNoWatchList;
    if (!asks(target, "watch=1")) return {http_answer(200, list({"a"}, 7))};
    if (++watches < 4) return {http_stream(), true};
    return {http_stream() + http_piece(event("ADDED", object("b", 8))), true};
  };
  Patience less = impatient();
  less.watch = 50ms;
  World world(ground, script, less);
  world.follow();
  bool failed = false;
  ASSERT_TRUE(world.until([&] {
    failed |= world.failure().has_value();
    return world.kept.names.contains("b");
  }));
  EXPECT_FALSE(failed);
  EXPECT_EQ(world.kept.lists, 1);
}

TEST(Reflector, SeesAfterASilenceThatTheStoreIsAnother) {
  Ground ground;
  int watches = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (asks(target, "sendInitialEvents")) return kNoWatchList;
    if (!asks(target, "watch=1")) {
      return {http_answer(200, watches == 0 ? list({"gone"}, 7) : list({"a"}, 3))};
    }
    ++watches;
    return {http_stream(), true};
  };
  Patience less = impatient();
  less.watch = 50ms;
  World world(ground, script, less);
  world.follow();
  ASSERT_TRUE(world.until([&] { return world.kept.names == Names{"a"}; }));
  EXPECT_FALSE(world.failure().has_value());
}

TEST(Reflector, FailsWhereAServerGoesSilent) {
  Ground ground;
  int watches = 0;
  int attempts = 0;
  const auto script = [&](const std::string& target) -> HttpScript::Reply {
    if (asks(target, "sendInitialEvents")) return kNoWatchList;
    if (!asks(target, "watch=1")) {
      if (watches == 1 && ++attempts == 1) return {"", true};
      return {http_answer(200, list({"a"}, 7))};
    }
    if (++watches == 1) return {http_stream(), true};
    return {http_stream() + http_piece(event("ADDED", object("b", 8))), true};
  };
  Patience less = impatient();
  less.answer = 200ms;
  less.watch = 50ms;
  less.min_delay = less.max_delay = 50ms;  // long enough for the failure to be seen
  World world(ground, script, less);
  world.follow();
  ASSERT_TRUE(world.until([&] { return world.failure().has_value(); }));
  EXPECT_EQ(world.failure()->reason, Reason::timeout);
  EXPECT_THAT(world.failure()->detail, HasSubstr("nothing is heard of configmaps"));
  ASSERT_TRUE(world.until([&] { return world.kept.names.contains("b"); }));
  EXPECT_EQ(world.kept.lists, 1);
}

struct Thing {
  std::string name;
  [[nodiscard]] std::string key() const { return name; }
  bool operator==(const Thing&) const = default;
};

// What a probe makes of a server: what it lists first, and what it answers from then on.
class WatchedTest : public testing::Test {
 protected:
  using Judgement = std::pair<bool, std::optional<Failure>>;

  explicit WatchedTest(const Patience& given = less()) : patience(given) {}

  static Patience less() {
    Patience less = impatient();
    less.stale = 150ms;
    less.too_old = 600ms;
    return less;
  }
  Judgement judge() {
    SampleSet run;
    const auto work = [&]() -> asio::awaitable<bool> {
      co_return co_await watched.judge(run, run);
    };
    const bool believed = test::Task(ground.loop, work()).get();
    return {believed, run.failure()};
  }
  [[nodiscard]] bool becomes(bool believed, Reason reason, std::string_view detail) {
    return world.until([&] {
      const auto [now, failure] = judge();
      return now == believed && failure && failure->reason == reason &&
             failure->detail.contains(detail);
    });
  }

  Patience patience;
  Ground ground;
  bool refuses_all = false;
  HttpScript::Reply later{"", true};  // to all but the first list
  int requests = 0;
  World world{ground,
              [this](const std::string& target) -> HttpScript::Reply {
                if (refuses_all) return later;
                if (asks(target, "sendInitialEvents")) return kNoWatchList;
                if (!asks(target, "watch=1")) {
                  return ++requests == 1 ? HttpScript::Reply{http_answer(200, list({"a"}, 7))}
                                         : later;
                }
                return later.stays ? HttpScript::Reply{http_stream(), true} : later;
              },
              patience};
  Offload offload{ground.loop};
  const Environment environment{.loop = ground.loop,
                                .wheel = ground.wheel,
                                .offload = offload,
                                .connecting = offload,
                                .resolver = ground.resolver,
                                .tls = ground.tls,
                                .http = ground.http,
                                .kubernetes = world.client,
                                .shard = {}};
  vitalsd::kubernetes::Watched<Thing> watched{
      environment, Query{.resource = kMaps},
      [](std::string_view bytes) { return Thing{name_of_object(bytes)}; }};
};

// A server that lets nobody in again.
TEST_F(WatchedTest, IsStaleFirstAndNotToBeBelievedThen) {
  const auto [at_first, failure_at_first] = judge();
  EXPECT_TRUE(at_first);
  EXPECT_FALSE(failure_at_first.has_value());
  constexpr std::string_view kUnheard = "nothing has been heard of configmaps for";
  EXPECT_TRUE(becomes(true, Reason::timeout, kUnheard));
  EXPECT_EQ(watched.size(), 1U);
  EXPECT_TRUE(becomes(false, Reason::timeout, kUnheard));
}

// The same with the patience of a daemon, which no test exhausts.
class PatientlyWatchedTest : public WatchedTest {
 protected:
  PatientlyWatchedTest() : WatchedTest(impatient()) {}
};

TEST_F(PatientlyWatchedTest, IsOverloadedAtFirst) {
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(judge().first);
  EXPECT_TRUE(becomes(true, Reason::overload, "429"));
}

TEST_F(PatientlyWatchedTest, IsOverloadedAtFirstWhereNothingWasEverHeard) {
  refuses_all = true;
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(becomes(false, Reason::overload, "429"));
}

TEST_F(WatchedTest, IsNoLongerOverloadedWhenItIsStale) {
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(judge().first);
  EXPECT_TRUE(becomes(true, Reason::unready, "nothing has been heard of configmaps for "));
  EXPECT_THAT(judge().second->detail, HasSubstr("429"));
  EXPECT_TRUE(becomes(false, Reason::unready, "429"));
}

// As after a restart of vitalsd beside such a server.
TEST_F(WatchedTest, IsNoLongerOverloadedWhereNothingWasEverHeard) {
  refuses_all = true;
  later = {http_answer(429, "slow down")};
  EXPECT_TRUE(becomes(false, Reason::unready, "429"));
}

TEST_F(WatchedTest, KeepsOtherReasonsWhenItIsStale) {
  later = {http_answer(403, "no")};
  EXPECT_TRUE(judge().first);
  EXPECT_TRUE(becomes(false, Reason::permission, "403"));
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
