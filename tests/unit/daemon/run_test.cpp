#include "daemon/run.hpp"

#include <chrono>
#include <memory>
#include <optional>
#include <vector>

#include "unit/support/jobs.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::nothing;
using ProbeRun = Run;  // testing::Test has a member Run

class RunTest : public testing::Test, protected test::JobFixture {
 protected:
  ~RunTest() override {
    test::on_loop(loop, [&] {
      if (run && run->is_observing()) run->abandon();
      run.reset();
    });
    latch.open();
    test::settle(loop);
  }

  void enter(config::Duration timeout = 1h) {
    run = std::make_shared<ProbeRun>(
        loop, wheel,
        ProbeRun::Options{.probe = std::make_shared<test::FakeProbe>(target, "target"),
                          .endpoint = "target",
                          .timeout = timeout,
                          .constant_labels = "probe=\"p\""},
        [this](const std::optional<Failure>& thrown) { ends.push_back(thrown); });
    test::on_loop(loop, [&] { run->enter(gate); });
  }

  test::Target target{.behaviour = [](SampleSet&) { return nothing(); }};
  test::Latch latch{loop};
  std::vector<std::optional<Failure>> ends;  // the calls of `on_end`
  std::shared_ptr<ProbeRun> run;
};

TEST_F(RunTest, ReportsAReturn) {
  target.behaviour = [](SampleSet& out) {
    out.add(test::kFakeReading, 1);
    return nothing();
  };
  enter();
  ASSERT_TRUE(until([&] { return ends.size() == 1; }));
  EXPECT_EQ(ends[0], std::nullopt);
  EXPECT_FALSE(run->is_observing());
  EXPECT_EQ(run->set().constant_labels(), "probe=\"p\"");
  EXPECT_EQ(run->set().time_limit(), 1h);
  EXPECT_EQ(gate.inside(), 0U);
}

TEST_F(RunTest, ReportsAnException) {
  target.behaviour = [](SampleSet&) -> asio::awaitable<void> {
    throw ProbeError(Reason::auth, "wrong password");
  };
  enter();
  ASSERT_TRUE(until([&] { return ends.size() == 1; }));
  ASSERT_TRUE(ends[0]);
  EXPECT_EQ(ends[0]->reason, Reason::auth);
  EXPECT_EQ(ends[0]->detail, "wrong password");
}

TEST_F(RunTest, ReportsATimeoutOnceAndKeepsItsSlotUntilItEnds) {
  target.behaviour = [&](SampleSet& out) {
    out.doing("waiting");
    return latch.wait_uncancellable();
  };
  enter(50ms);
  ASSERT_TRUE(until([&] { return ends.size() == 1; }));
  ASSERT_TRUE(ends[0]);
  EXPECT_EQ(ends[0]->reason, Reason::timeout);
  EXPECT_EQ(ends[0]->detail, "no response within 50ms while waiting");
  EXPECT_TRUE(run->is_observing());
  EXPECT_TRUE(run->is_unwinding(ProbeRun::Clock::now()));
  EXPECT_FALSE(run->is_unwinding(ProbeRun::Clock::now() + 1s));
  EXPECT_EQ(gate.inside(), 1U);
  latch.open();
  ASSERT_TRUE(until([&] { return !run->is_observing(); }));
  EXPECT_EQ(gate.inside(), 0U);
  EXPECT_EQ(ends.size(), 1U);
}

TEST_F(RunTest, DoesNotBlameTheTargetForAStepOfItsOwn) {
  target.behaviour = [&](SampleSet& out) {
    out.doing("reading secrets", Reason::internal);
    return latch.wait();
  };
  enter(50ms);
  ASSERT_TRUE(until([&] { return ends.size() == 1; }));
  ASSERT_TRUE(ends[0]);
  EXPECT_EQ(ends[0]->reason, Reason::internal);
  EXPECT_EQ(ends[0]->detail, "not finished within 50ms while reading secrets");
}

TEST_F(RunTest, ChecksItsDeadlineOnRequest) {
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  enter();
  test::on_loop(loop, [&] { run->check_deadline(run->started_at() + 59min); });
  EXPECT_TRUE(ends.empty());
  test::on_loop(loop, [&] { run->check_deadline(run->started_at() + 1h); });
  EXPECT_EQ(ends.size(), 1U);
}

TEST_F(RunTest, ReportsNothingAfterAbandon) {
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  enter();
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  test::on_loop(loop, [&] { run->abandon(); });
  ASSERT_TRUE(until([&] { return target.ended == 1 && !run->is_observing(); }));
  EXPECT_TRUE(ends.empty());
  EXPECT_EQ(gate.inside(), 0U);
}

TEST_F(RunTest, LeavesTheQueueWhenDestroyed) {
  gate.set_limits(1, 1);
  Gate::Ticket occupied;
  gate.enter(occupied, "", [] {});
  enter();
  EXPECT_FALSE(run->has_started());
  EXPECT_FALSE(run->is_observing());
  run.reset();
  occupied.leave();
  EXPECT_EQ(gate.inside(), 0U);
  EXPECT_EQ(target.started, 0);
}

}  // namespace
}  // namespace vitalsd
