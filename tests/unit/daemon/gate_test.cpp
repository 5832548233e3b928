#include "daemon/gate.hpp"

#include <cstddef>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// Requests slots of a gate and records the order in which they are granted.
class Requests {
 public:
  Requests(std::size_t max, std::size_t max_per_endpoint) : gate(max, max_per_endpoint) {}

  Gate::Ticket& enter(const std::string& name, const std::string& endpoint = "") {
    Gate::Ticket& ticket = tickets_.emplace_back();
    gate.enter(ticket, endpoint, [this, name] { granted += name; });
    return ticket;
  }

  Gate gate;
  std::string granted;

 private:
  std::list<Gate::Ticket> tickets_;
};

TEST(Gate, GrantsFreeSlotsImmediately) {
  Requests requests(2, 2);
  const Gate::Ticket& a = requests.enter("a");
  requests.enter("b", "db:1");
  EXPECT_EQ(requests.granted, "ab");
  EXPECT_TRUE(a.holds_slot());
  EXPECT_EQ(requests.gate.inside(), 2U);
}

TEST(Gate, QueuesFurtherRequestsInOrder) {
  Requests requests(1, 8);
  Gate::Ticket& a = requests.enter("a");
  Gate::Ticket& b = requests.enter("b", "db:1");
  requests.enter("c");
  EXPECT_EQ(requests.granted, "a");
  EXPECT_FALSE(b.holds_slot());
  a.leave();
  EXPECT_EQ(requests.granted, "ab");
  b.leave();
  EXPECT_EQ(requests.granted, "abc");
  EXPECT_EQ(requests.gate.inside(), 1U);
}

TEST(Gate, LimitsEachEndpoint) {
  Requests requests(8, 1);
  Gate::Ticket& a = requests.enter("a", "db:1");
  Gate::Ticket& b = requests.enter("b", "db:1");
  requests.enter("c", "db:1");
  requests.enter("d", "other:1");
  requests.enter("e");
  EXPECT_EQ(requests.granted, "ade");
  a.leave();
  EXPECT_EQ(requests.granted, "adeb");
  b.leave();
  EXPECT_EQ(requests.granted, "adebc");
}

TEST(Gate, WaitingForAnEndpointUsesNoTotalSlot) {
  Requests requests(2, 1);
  requests.enter("a", "db:1");
  for (int i = 0; i < 10; ++i) requests.enter("x", "db:1");
  requests.enter("b", "other:1");
  EXPECT_EQ(requests.granted, "ab");
}

TEST(Gate, HoldsTheEndpointSlotWhileWaitingForATotalSlot) {
  Requests requests(1, 1);
  Gate::Ticket& a = requests.enter("a");
  Gate::Ticket& b = requests.enter("b", "db:1");
  requests.enter("c", "db:1");
  b.leave();  // withdraws, so that c takes the slot of the endpoint
  a.leave();
  EXPECT_EQ(requests.granted, "ac");
}

TEST(Gate, WithdrawsWaitingRequests) {
  Requests requests(1, 1);
  Gate::Ticket& a = requests.enter("a", "db:1");
  Gate::Ticket& b = requests.enter("b", "db:1");
  Gate::Ticket& c = requests.enter("c", "other:1");
  requests.enter("d", "db:1");
  b.leave();
  c.leave();
  EXPECT_EQ(requests.granted, "a");
  a.leave();
  EXPECT_EQ(requests.granted, "ad");
}

TEST(Gate, DestroyedTicketReleasesItsSlot) {
  Gate gate(1, 1);
  std::optional<Gate::Ticket> first(std::in_place);
  Gate::Ticket second;
  bool granted = false;
  gate.enter(*first, "db:1", [] {});
  gate.enter(second, "db:1", [&] { granted = true; });
  first.reset();
  EXPECT_TRUE(granted);
}

TEST(Gate, TicketCanBeReused) {
  Gate gate(1, 1);
  Gate::Ticket ticket;
  int granted = 0;
  for (int i = 0; i < 3; ++i) {
    gate.enter(ticket, "db:1", [&] { ++granted; });
    ticket.leave();
    ticket.leave();  // has no effect
  }
  EXPECT_EQ(granted, 3);
  EXPECT_EQ(gate.inside(), 0U);
}

TEST(Gate, AllowsReleaseInsideTheGrantCallback) {
  Gate gate(1, 1);
  std::list<Gate::Ticket> tickets(100);
  int granted = 0;
  for (Gate::Ticket& ticket : tickets) {
    gate.enter(ticket, "db:1", [&] {
      ++granted;
      if (&ticket != &tickets.front()) ticket.leave();
    });
  }
  tickets.front().leave();  // the others are granted one after another
  EXPECT_EQ(granted, 100);
  EXPECT_EQ(gate.inside(), 0U);
}

TEST(Gate, GrantsMoreWhenLimitsAreRaised) {
  Requests requests(1, 1);
  requests.enter("a", "db:1");
  requests.enter("b", "db:1");
  requests.enter("c", "db:1");
  requests.enter("d", "other:1");
  requests.gate.set_limits(3, 2);
  EXPECT_EQ(requests.granted, "adb");
  requests.gate.set_limits(8, 8);
  EXPECT_EQ(requests.granted, "adbc");
}

TEST(Gate, KeepsGrantedSlotsWhenLimitsAreLowered) {
  Requests requests(3, 3);
  Gate::Ticket& a = requests.enter("a", "db:1");
  Gate::Ticket& b = requests.enter("b", "db:1");
  requests.gate.set_limits(1, 1);
  EXPECT_TRUE(a.holds_slot() && b.holds_slot());
  requests.enter("c", "db:1");
  a.leave();
  EXPECT_EQ(requests.granted, "ab");
  b.leave();
  EXPECT_EQ(requests.granted, "abc");
}

}  // namespace
}  // namespace vitalsd
