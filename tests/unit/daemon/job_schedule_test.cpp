// When a job runs, and what becomes of readings that no run renews.
#include <chrono>
#include <cstddef>
#include <optional>
#include <utility>
#include <vector>

#include "unit/daemon/job_fixture.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::nothing;

// ---- due times ----------------------------------------------------------------------------------

TEST_F(JobTest, FirstRunIsWithinFirstRunWithin) {
  services.first_run_within = 100ms;
  JobSpec rare = spec(target);
  rare.interval = 24h;
  const auto before = Job::Clock::now();
  start(std::move(rare));
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  EXPECT_LT(Job::Clock::now() - before, 1s);
}

TEST_F(JobTest, RunsAtAFixedRateInItsOwnPhase) {
  std::vector<Job::Clock::time_point> starts;
  target.behaviour = returning([&](SampleSet&) { starts.push_back(Job::Clock::now()); });
  start();
  ASSERT_TRUE(until([&] { return starts.size() == 5; }));
  for (std::size_t i = 2; i < starts.size(); ++i) {  // the first run does not follow the phase
    const auto drift = (starts[i] - starts[1]) % 100ms;
    EXPECT_LT(std::min<Job::Clock::duration>(drift, 100ms - drift), 50ms);
  }
}

TEST_F(JobTest, MissedDueTimesAreCountedAndNotRepeated) {
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 2; }));
  const auto until_late = Job::Clock::now() + 450ms;
  while (Job::Clock::now() < until_late) {  // blocks the loop
  }
  ASSERT_TRUE(until([&] { return runs("ok") == 4; }));
  EXPECT_GE(runs("skipped"), 3);
  EXPECT_EQ(target.started, 4);
}

TEST_F(JobTest, WaitingForASlotForAnIntervalIsSkipped) {
  Gate::Ticket occupied;
  gate.set_limits(1, 1);
  gate.enter(occupied, "", [] {});
  start();
  bool has_ended = false;
  job->on_first_outcome([&] { has_ended = true; });
  ASSERT_TRUE(until([&] { return runs("skipped") == 2; }));
  EXPECT_TRUE(has_ended);
  EXPECT_EQ(target.started, 0);
  EXPECT_EQ(value("probe_success"), std::nullopt);  // nothing was observed
  EXPECT_EQ(value("fake_up"), std::nullopt);
  EXPECT_EQ(runs("failed"), 0);
  EXPECT_EQ(view().state, ProbeView::State::pending);
  occupied.leave();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
}

TEST_F(JobTest, RunNeedsASlotOfItsEndpoint) {
  gate.set_limits(8, 1);
  Gate::Ticket occupied;
  gate.enter(occupied, "target", [] {});
  start();
  ASSERT_TRUE(until([&] { return runs("skipped") == 1; }));
  occupied.leave();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
}

TEST_F(JobTest, ReportsTheFirstOutcomeOnce) {
  int reports = 0;
  start();
  job->on_first_outcome([&] { ++reports; });
  ASSERT_TRUE(until([&] { return runs("ok") == 2; }));
  EXPECT_EQ(reports, 1);
}

TEST_F(JobTest, StartsNoRunAfterStop) {
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  start();
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  test::on_loop(loop, [&] { job->stop(); });
  ASSERT_TRUE(until([&] { return !job->running(); }));
  test::run_for(loop, 200ms);
  EXPECT_EQ(target.started, 1);
}

// ---- readings that no run renews ---------------------------------------------------------------

TEST_F(JobTest, ReadingsExpireWithoutRunsAndFactsStay) {
  target.behaviour = [&](SampleSet& out) {
    add_both(out);
    return latch.wait_uncancellable();
  };
  start();
  ASSERT_TRUE(until([&] { return failures("timeout") == 1; }));
  const auto published = Job::Clock::now();
  ASSERT_TRUE(until([&] { return !value("fake_reading"); }));
  // They expire at the last due time before they are three intervals and a timeout old.
  EXPECT_GE(Job::Clock::now() - published, 2 * 100ms);
  EXPECT_EQ(value("fake_fact"), 2);
}

}  // namespace
}  // namespace vitalsd
