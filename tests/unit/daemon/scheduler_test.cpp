#include "daemon/scheduler.hpp"

#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/jobs.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::nothing;
using test::Target;

class SchedulerTest : public testing::Test, protected test::JobFixture {
 protected:
  ~SchedulerTest() override {
    test::on_loop(loop, [&] { scheduler.reset(); });
    latch.open();
    test::settle(loop);
  }

  template <class... Specs>
  Scheduler::Change apply(Specs... specs) {
    std::vector<JobSpec> all;
    (all.push_back(std::move(specs)), ...);
    Scheduler::Change change;
    test::on_loop(loop, [&] {
      change = scheduler->apply(std::move(all), [&](Job& job) { restored += job.spec().name; });
    });
    return change;
  }

  // The value of vitalsd_probes for a kind.
  [[nodiscard]] std::string probes_of(const std::string& kind) const {
    for (const Exposition::Extra& extra : metrics.collect()) {
      if (extra.name != "vitalsd_probes") continue;
      for (const auto& sample : test::parse_samples(extra.lines)) {
        if (sample.labels.at("kind") == kind) return std::to_string(static_cast<int>(sample.value));
      }
    }
    return "none";
  }

  std::string restored;  // the names of the jobs passed to `restore`
  Target target{.behaviour = [](SampleSet&) { return nothing(); }};
  test::Latch latch{loop};
  std::optional<Scheduler> scheduler{std::in_place, services};
};

TEST_F(SchedulerTest, RunsAllJobs) {
  const auto change = apply(spec(target, "p"), spec(target, "q"));
  EXPECT_EQ(change.added, 2U);
  EXPECT_EQ(restored, "pq");
  ASSERT_TRUE(until([&] { return target.ended >= 2; }));
  EXPECT_EQ(scheduler->jobs().size(), 2U);
}

TEST_F(SchedulerTest, ReportsOnceWhenAllJobsHaveRun) {
  int told = 0;
  apply(spec(target, "p"), spec(target, "q"));
  scheduler->on_all_ran([&] { ++told; });
  EXPECT_EQ(told, 0);
  ASSERT_TRUE(until([&] { return told == 1; }));
  EXPECT_GE(target.ended, 2);
  ASSERT_TRUE(until([&] { return target.ended >= 4; }));
  EXPECT_EQ(told, 1);
}

TEST_F(SchedulerTest, ReportsImmediatelyWithoutJobs) {
  bool told = false;
  apply();
  scheduler->on_all_ran([&] { told = true; });
  EXPECT_TRUE(told);
}

TEST_F(SchedulerTest, DoesNotWaitForARemovedJob) {
  bool told = false;
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  JobSpec slow = spec(target, "q");
  slow.timeout = std::chrono::hours(1);
  apply(std::move(slow));
  scheduler->on_all_ran([&] { told = true; });
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  EXPECT_FALSE(told);
  EXPECT_EQ(apply().removed, 1U);
  EXPECT_TRUE(told);
}

TEST_F(SchedulerTest, KeepsUnchangedJobs) {
  apply(spec(target, "p"), spec(target, "q"));
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  JobSpec changed = spec(target, "q");
  changed.fingerprint = 2;
  const auto change = apply(spec(target, "p"), std::move(changed), spec(target, "r"));
  EXPECT_EQ(change.unchanged, 1U);
  EXPECT_EQ(change.changed, 1U);
  EXPECT_EQ(change.added, 1U);
  EXPECT_EQ(change.removed, 0U);
  EXPECT_EQ(target.inherited, 1);
  EXPECT_EQ(restored, "pqr");
}

TEST_F(SchedulerTest, RemovesJobs) {
  apply(spec(target, "p"), spec(target, "q"));
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(apply(spec(target, "q")).removed, 1U);
  EXPECT_FALSE(exposition.has_owner("p"));
  EXPECT_TRUE(exposition.has_owner("q"));
  EXPECT_EQ(board.views().size(), 1U);
}

TEST_F(SchedulerTest, CountsProbesByKindAfterTheirRemoval) {
  EXPECT_EQ(probes_of("fake"), "none");
  JobSpec other = spec(target, "r");
  other.kind = &test::kOtherKind;
  other.checks.clear();
  apply(spec(target, "p"), spec(target, "q"), std::move(other));
  EXPECT_EQ(probes_of("fake"), "2");
  EXPECT_EQ(probes_of("other"), "1");
  apply(spec(target, "p"));
  EXPECT_EQ(probes_of("fake"), "1");
  EXPECT_EQ(probes_of("other"), "0");
}

TEST_F(SchedulerTest, StopsAllRuns) {
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  apply(spec(target, "p"), spec(target, "q"));
  ASSERT_TRUE(until([&] { return scheduler->running() == 2; }));
  test::on_loop(loop, [&] { scheduler->stop(); });
  ASSERT_TRUE(until([&] { return scheduler->running() == 0; }));
  EXPECT_EQ(target.started, 2);
}

}  // namespace
}  // namespace vitalsd
