// A job whose settings change, or that is removed.
#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "unit/daemon/job_fixture.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::kFakeFact;
using test::Latch;
using test::Target;

// Adds a sample after a wait that ignores cancellation.
asio::awaitable<void> late(SampleSet& out, Latch& latch) {
  co_await latch.wait_uncancellable();
  out.add(kFakeFact, 1);
}

// ---- reload -------------------------------------------------------------------------------------

class JobReloadTest : public JobTest {
 protected:
  // Starts the job and waits for a run that adds a fact and a reading.
  void start_and_run() {
    target.behaviour = returning(add_both);
    start();
    ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  }
  JobSpec successor(const std::string& name = "target") {
    JobSpec out = spec(next);
    out.fingerprint = 2;
    out.interval = 24h;  // it runs at most once
    out.probe = std::make_unique<test::FakeProbe>(next, name);
    return out;
  }

  Target next{.behaviour = returning([](SampleSet&) {})};
};

TEST_F(JobReloadTest, SameTargetKeepsEverything) {
  start_and_run();
  next.behaviour = [&](SampleSet&) { return latch.wait(); };
  replace(successor());
  EXPECT_EQ(next.inherited, 1);
  EXPECT_EQ(value("fake_reading"), 1);
  EXPECT_EQ(value("fake_fact"), 2);
  EXPECT_EQ(value("probe_success"), 1);
  EXPECT_EQ(runs("ok"), 1);
  EXPECT_EQ(view().state, ProbeView::State::ok);
  ASSERT_TRUE(until([&] { return next.started == 1; }));
}

TEST_F(JobReloadTest, OtherTargetKeepsCountersOnly) {
  start_and_run();
  replace(successor("elsewhere"));
  EXPECT_EQ(next.inherited, 0);
  EXPECT_EQ(test::samples(exposition),
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"ok\"} 1\n"
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"failed\"} 0\n"
            "vitalsd_probe_status{probe=\"p\",instance=\"p\"} 3\n");
  EXPECT_EQ(view().state, ProbeView::State::pending);
  EXPECT_EQ(view().target, "elsewhere");
  ASSERT_TRUE(until([&] { return runs("ok") == 2; }));
  EXPECT_EQ(value("probe_success"), 1);
}

TEST_F(JobReloadTest, OtherKindMeansAnotherTarget) {
  start_and_run();
  JobSpec other = successor();
  other.kind = &test::kOtherKind;
  other.checks.clear();
  replace(std::move(other));
  EXPECT_EQ(next.inherited, 0);
  EXPECT_EQ(value("fake_fact"), std::nullopt);
}

TEST_F(JobReloadTest, OtherLabelsKeepFacts) {
  start_and_run();
  JobSpec labelled = successor();
  labelled.labels = {{"team", "mail"}};
  replace(std::move(labelled));
  EXPECT_EQ(next.inherited, 1);
  EXPECT_EQ(value("fake_fact", {{"team", "mail"}}), 2);
  EXPECT_EQ(value("fake_fact"), std::nullopt);
  EXPECT_EQ(value("fake_reading", {{"team", "mail"}}), std::nullopt);
  EXPECT_EQ(value("vitalsd_probe_runs_total", {{"team", "mail"}, {"outcome", "ok"}}), 1);
}

TEST_F(JobReloadTest, ReplaceWaitsForTheEndOfARun) {
  JobSpec slow = spec(target);
  slow.timeout = 10s;
  target.behaviour = [&](SampleSet& out) {
    add_both(out);
    return latch.wait_uncancellable();
  };
  start(std::move(slow));
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  JobSpec replacement = successor();
  const std::size_t fingerprint = replacement.fingerprint;
  replace(std::move(replacement));
  test::settle(loop);
  EXPECT_EQ(next.inherited, 0);
  EXPECT_EQ(next.started, 0);
  EXPECT_TRUE(job->running());

  latch.open();
  ASSERT_TRUE(until([&] { return runs("ok") == 2; }));
  EXPECT_EQ(next.started, 1);
  EXPECT_EQ(next.inherited, 1);
  EXPECT_EQ(job->spec().fingerprint, fingerprint);
  EXPECT_EQ(value("fake_fact"), std::nullopt);  // the run of the new probe did not add it
}

TEST_F(JobReloadTest, DoesNotInheritFromAStuckProbe) {
  target.behaviour = [&](SampleSet&) { return latch.wait_uncancellable(); };
  start();
  test::FakeNotes notes;
  test::FakeNotes next_notes;
  notes.text = "counted so far";
  target.notes = &notes;
  next.notes = &next_notes;
  ASSERT_TRUE(until([&] { return runs("stuck") == 1; }));
  JobSpec again = successor();
  again.interval = 100ms;
  replace(std::move(again));
  EXPECT_EQ(next.inherited, 0);
  ASSERT_TRUE(until([&] { return runs("stuck") >= 3; }));
  EXPECT_EQ(next.started, 0);  // the old probe may still have a connection
  EXPECT_EQ(next_notes.text, "counted so far");
  latch.open();
  ASSERT_TRUE(until([&] { return runs("ok") >= 1; }));
  EXPECT_EQ(next.started, 1);
}

TEST_F(JobReloadTest, InstallsTheLastOfSeveralReplacements) {
  JobSpec slow = spec(target);
  slow.timeout = 10s;
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  start(std::move(slow));
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  replace(successor("second"));
  const JobSpec same = successor("third");
  replace(successor("third"));
  EXPECT_TRUE(job->matches(same));
  latch.open();
  ASSERT_TRUE(until([&] { return next.started == 1; }));
  EXPECT_EQ(job->target(), "third");
}

TEST_F(JobReloadTest, ReplacesAQueuedRun) {
  Gate::Ticket occupied;
  gate.set_limits(1, 1);
  gate.enter(occupied, "", [] {});
  start();
  test::run_for(loop, 50ms);
  replace(successor());
  occupied.leave();
  ASSERT_TRUE(until([&] { return next.started == 1; }));
  EXPECT_EQ(target.started, 0);
}

TEST_F(JobReloadTest, MatchesTheSameSettingsOnly) {
  start();
  EXPECT_TRUE(job->matches(spec(target)));
  EXPECT_FALSE(job->matches(successor()));
  JobSpec slower = spec(target);
  slower.interval = 200ms;  // for example, by a changed default_interval
  EXPECT_FALSE(job->matches(slower));
}

// ---- removal ------------------------------------------------------------------------------------

TEST_F(JobTest, RemovesItsSeriesAndItsRow) {
  target.behaviour = returning(add_both);
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  end();
  EXPECT_EQ(test::page(exposition), "");
  EXPECT_TRUE(board.views().empty());
}

TEST_F(JobTest, CancelsItsRunWhenDestroyed) {
  target.behaviour = [&](SampleSet&) { return latch.wait(); };
  start();
  ASSERT_TRUE(until([&] { return target.started == 1; }));
  end();
  ASSERT_TRUE(until([&] { return target.ended == 1; }));
  EXPECT_EQ(gate.inside(), 0U);
}

TEST_F(JobTest, CanBeDestroyedBeforeAStuckRunEnds) {
  target.behaviour = [&](SampleSet& out) { return late(out, latch); };
  start();
  ASSERT_TRUE(until([&] { return runs("stuck") == 1; }));
  end();
  latch.open();
  ASSERT_TRUE(until([&] { return target.ended == 1; }));
  EXPECT_EQ(test::page(exposition), "");
}

}  // namespace
}  // namespace vitalsd
