#include "daemon/gate.hpp"

#include <cstddef>
#include <functional>
#include <list>
#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// The runs that want through a gate, by name, and the order in which they got their slots.
class Crowd {
 public:
  Crowd(std::size_t max, std::size_t max_per_endpoint) : gate(max, max_per_endpoint) {}

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

TEST(Gate, GrantsAtOnceWhileThereAreSlots) {
  Crowd crowd(2, 2);
  const Gate::Ticket& a = crowd.enter("a");
  crowd.enter("b", "db:1");
  EXPECT_EQ(crowd.granted, "ab");
  EXPECT_TRUE(a.holds_slot());
  EXPECT_EQ(crowd.gate.inside(), 2U);
}

TEST(Gate, LetsTheRestWaitInTurn) {
  Crowd crowd(1, 8);
  Gate::Ticket& a = crowd.enter("a");
  Gate::Ticket& b = crowd.enter("b", "db:1");
  crowd.enter("c");
  EXPECT_EQ(crowd.granted, "a");
  EXPECT_FALSE(b.holds_slot());
  a.leave();
  EXPECT_EQ(crowd.granted, "ab");
  b.leave();
  EXPECT_EQ(crowd.granted, "abc");
  EXPECT_EQ(crowd.gate.inside(), 1U);
}

TEST(Gate, CapsEachEndpoint) {
  Crowd crowd(8, 1);
  Gate::Ticket& a = crowd.enter("a", "db:1");
  Gate::Ticket& b = crowd.enter("b", "db:1");
  crowd.enter("c", "db:1");
  crowd.enter("d", "other:1");
  crowd.enter("e");
  EXPECT_EQ(crowd.granted, "ade");
  a.leave();
  EXPECT_EQ(crowd.granted, "adeb");
  b.leave();
  EXPECT_EQ(crowd.granted, "adebc");
}

TEST(Gate, WaitingAtAnEndpointTakesNoSlotOfAll) {
  Crowd crowd(2, 1);
  crowd.enter("a", "db:1");
  for (int i = 0; i < 10; ++i) crowd.enter("x", "db:1");
  crowd.enter("b", "other:1");
  EXPECT_EQ(crowd.granted, "ab");
}

TEST(Gate, HoldsTheEndpointsSlotWhileItWaitsForOneOfAll) {
  Crowd crowd(1, 1);
  Gate::Ticket& a = crowd.enter("a");
  Gate::Ticket& b = crowd.enter("b", "db:1");
  crowd.enter("c", "db:1");
  b.leave();  // gives up in the queue, so that c may queue in its place
  a.leave();
  EXPECT_EQ(crowd.granted, "ac");
}

TEST(Gate, LetsWhoWaitsWithdraw) {
  Crowd crowd(1, 1);
  Gate::Ticket& a = crowd.enter("a", "db:1");
  Gate::Ticket& b = crowd.enter("b", "db:1");
  Gate::Ticket& c = crowd.enter("c", "other:1");
  crowd.enter("d", "db:1");
  b.leave();
  c.leave();
  EXPECT_EQ(crowd.granted, "a");
  a.leave();
  EXPECT_EQ(crowd.granted, "ad");
}

TEST(Gate, IsLeftByATicketThatGoes) {
  Gate gate(1, 1);
  std::optional<Gate::Ticket> first(std::in_place);
  Gate::Ticket second;
  bool granted = false;
  gate.enter(*first, "db:1", [] {});
  gate.enter(second, "db:1", [&] { granted = true; });
  first.reset();
  EXPECT_TRUE(granted);
}

TEST(Gate, MayBeEnteredAgain) {
  Gate gate(1, 1);
  Gate::Ticket ticket;
  int granted = 0;
  for (int i = 0; i < 3; ++i) {
    gate.enter(ticket, "db:1", [&] { ++granted; });
    ticket.leave();
    ticket.leave();  // once is enough
  }
  EXPECT_EQ(granted, 3);
  EXPECT_EQ(gate.inside(), 0U);
}

TEST(Gate, BearsARunThatEndsWhileItIsGranted) {
  Gate gate(1, 1);
  std::list<Gate::Ticket> tickets(100);
  int granted = 0;
  for (Gate::Ticket& ticket : tickets) {
    gate.enter(ticket, "db:1", [&] {
      ++granted;
      if (&ticket != &tickets.front()) ticket.leave();
    });
  }
  tickets.front().leave();  // the rest pass one after another
  EXPECT_EQ(granted, 100);
  EXPECT_EQ(gate.inside(), 0U);
}

TEST(Gate, LetsMoreInWhenItsLimitsRise) {
  Crowd crowd(1, 1);
  crowd.enter("a", "db:1");
  crowd.enter("b", "db:1");
  crowd.enter("c", "db:1");
  crowd.enter("d", "other:1");
  crowd.gate.set_limits(3, 2);
  EXPECT_EQ(crowd.granted, "adb");
  crowd.gate.set_limits(8, 8);
  EXPECT_EQ(crowd.granted, "adbc");
}

TEST(Gate, TurnsNobodyOutWhenItsLimitsFall) {
  Crowd crowd(3, 3);
  Gate::Ticket& a = crowd.enter("a", "db:1");
  Gate::Ticket& b = crowd.enter("b", "db:1");
  crowd.gate.set_limits(1, 1);
  EXPECT_TRUE(a.holds_slot() && b.holds_slot());
  crowd.enter("c", "db:1");
  a.leave();
  EXPECT_EQ(crowd.granted, "ab");
  b.leave();
  EXPECT_EQ(crowd.granted, "abc");
}

}  // namespace
}  // namespace vitalsd
