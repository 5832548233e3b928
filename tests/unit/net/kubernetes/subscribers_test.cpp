#include "probes/net/kubernetes/subscribers.hpp"

#include <string>
#include <string_view>

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

}  // namespace
}  // namespace vitalsd::net::kubernetes
