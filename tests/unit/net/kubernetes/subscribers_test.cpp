#include "probes/net/kubernetes/subscribers.hpp"

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

// Records the calls: "[" and "]" for a list, "+x" and "-x" for objects.
class Recorder final : public Listener {
 public:
  std::string calls;

  void list_started() override { calls += '['; }
  void updated(std::string_view object) override { calls += '+' + std::string(object); }
  void deleted(std::string_view object) override { calls += '-' + std::string(object); }
  void list_ended() override { calls += ']'; }
};

TEST(Subscribers, ReceiveAListAndLaterEvents) {
  Subscribers subscribers;
  Recorder a;
  subscribers.add(a);
  EXPECT_FALSE(subscribers.synced(a));
  subscribers.list_started();
  EXPECT_TRUE(subscribers.listing());
  subscribers.updated("x", true);
  EXPECT_TRUE(subscribers.list_ended());
  EXPECT_FALSE(subscribers.listing());
  EXPECT_TRUE(subscribers.synced(a));
  subscribers.deleted("x", false);
  EXPECT_EQ(a.calls, "[+x]-x");
}

TEST(Subscribers, ReceiveNoEventsBeforeTheirFirstList) {
  Subscribers subscribers;
  Recorder a;
  Recorder late;
  subscribers.add(a);
  subscribers.list_started();
  subscribers.add(late);
  subscribers.updated("x", true);
  EXPECT_FALSE(subscribers.list_ended()) << "the late subscriber needs another list";
  subscribers.updated("y", false);
  EXPECT_EQ(a.calls, "[+x]+y");
  EXPECT_EQ(late.calls, "");
  EXPECT_FALSE(subscribers.synced(late));
}

TEST(Subscribers, AnAbortedListDoesNotSync) {
  Subscribers subscribers;
  Recorder a;
  subscribers.add(a);
  subscribers.list_started();
  subscribers.abort_list();
  EXPECT_FALSE(subscribers.listing());
  subscribers.list_started();
  EXPECT_TRUE(subscribers.list_ended());
  EXPECT_EQ(a.calls, "[[]");
}

TEST(Subscribers, ReceiveNothingAfterTheirRemoval) {
  Subscribers subscribers;
  Recorder a;
  subscribers.add(a);
  subscribers.remove(a);
  EXPECT_TRUE(subscribers.empty());
  subscribers.list_started();
  EXPECT_EQ(a.calls, "");
}

// Calls a function in each call.
class Acting final : public Listener {
 public:
  std::function<void()> act = [] {};

  void list_started() override { act(); }
  void updated(std::string_view /*object*/) override { act(); }
  void deleted(std::string_view /*object*/) override { act(); }
  void list_ended() override { act(); }
};

TEST(Subscribers, MayBeRemovedInACall) {
  using Call = std::function<void(Subscribers&)>;
  const std::vector<Call> calls = {
      [](Subscribers& all) { all.list_started(); },
      [](Subscribers& all) { all.updated("x", true); },
      [](Subscribers& all) { all.deleted("x", true); },
      [](Subscribers& all) { EXPECT_TRUE(all.list_ended()); },
  };
  for (std::size_t when = 0; when < calls.size(); ++when) {
    Subscribers subscribers;
    Recorder before;
    Acting leaving;
    Recorder next;
    Recorder after;
    subscribers.add(before);
    subscribers.add(leaving);
    subscribers.add(next);
    subscribers.add(after);
    for (std::size_t i = 0; i < calls.size(); ++i) {
      if (i == when) {
        leaving.act = [&] {
          subscribers.remove(leaving);
          subscribers.remove(next);
          EXPECT_TRUE(subscribers.calling());
          leaving.act = [] { ADD_FAILURE() << "is called after its removal"; };
        };
      }
      calls[i](subscribers);
    }
    EXPECT_EQ(before.calls, "[+x-x]");
    EXPECT_EQ(after.calls, "[+x-x]");
    EXPECT_EQ(next.calls, std::string("[+x-x]").substr(0, when == 0 ? 0 : 2 * when - 1));
    subscribers.remove(before);
    subscribers.remove(after);
    EXPECT_TRUE(subscribers.empty());
    EXPECT_FALSE(subscribers.calling());
  }
}

TEST(Subscribers, MayBeAddedInACall) {
  Subscribers subscribers;
  Acting adding;
  std::vector<std::unique_ptr<Recorder>> late;
  subscribers.add(adding);
  adding.act = [&] { subscribers.add(*late.emplace_back(std::make_unique<Recorder>())); };
  subscribers.list_started();
  subscribers.updated("x", true);
  adding.act = [] {};
  EXPECT_FALSE(subscribers.list_ended());
  EXPECT_EQ(late.at(0)->calls, "[+x]");
  EXPECT_EQ(late.at(1)->calls, "");
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
