// A job with a fake probe, in real time: intervals are short, and each test runs the loop until its
// condition is met.
#include "daemon/job.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <ostream>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "unit/support/jobs.hpp"
#include "unit/support/no_descriptors.hpp"
#include <boost/asio/error.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::kFakeCheck;
using test::kFakeFact;
using test::kFakeReading;
using test::Latch;
using test::nothing;
using test::Target;

// Adds a sample after a wait that ignores cancellation.
asio::awaitable<void> late(SampleSet& out, Latch& latch) {
  co_await latch.wait_uncancellable();
  out.add(kFakeFact, 1);
}

class JobTest : public testing::Test, protected test::JobFixture {
 protected:
  ~JobTest() override {
    // Runs must end before the objects that they use are destroyed.
    end();
    latch.open();
    test::settle(loop);
  }

  void start(JobSpec spec) {
    job.emplace(services, std::move(spec));
    job->start(Job::Clock::now());
  }
  void start() { start(spec(target)); }
  void replace(JobSpec replacement) {
    test::on_loop(loop, [&] { job->replace(std::move(replacement)); });
  }
  void end() {
    test::on_loop(loop, [&] { job.reset(); });
  }

  // An observation that calls `action` and returns.
  static Target::Behaviour returning(std::function<void(SampleSet&)> action) {
    return [action = std::move(action)](SampleSet& out) {
      action(out);
      return nothing();
    };
  }
  static Target::Behaviour throwing(Reason reason) {
    return returning([reason](SampleSet&) { throw ProbeError(reason, "because"); });
  }

  // Adds a fact and a reading.
  static void add_both(SampleSet& out) {
    out.add(kFakeReading, 1);
    out.add(kFakeFact, 2);
  }

  Target target{.behaviour = returning([](SampleSet&) {})};
  Latch latch{loop};
  std::optional<Job> job;
};

// ---- how a run ends -----------------------------------------------------------------------------

TEST_F(JobTest, PublishesZeroCountsBeforeTheFirstRun) {
  start();
  EXPECT_EQ(test::samples(exposition),
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"ok\"} 0\n"
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"failed\"} 0\n");
  EXPECT_EQ(view().state, ProbeView::State::pending);
}

TEST_F(JobTest, RunThatReturnsSucceeds) {
  target.behaviour = returning(add_both);
  const auto before = std::chrono::system_clock::now();
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(value("probe_success"), 1);
  EXPECT_EQ(value("vitalsd_target_up", {{"kind", "fake"}}), 1);
  EXPECT_EQ(value("fake_up"), 1);
  EXPECT_EQ(value("fake_reading"), 1);
  EXPECT_EQ(value("fake_fact"), 2);
  EXPECT_GE(value("probe_duration_seconds"), 0);
  EXPECT_GE(value("vitalsd_probe_last_success_timestamp_seconds"),
            std::chrono::duration<double>(before.time_since_epoch()).count());
  EXPECT_EQ(runs("failed"), 0);

  EXPECT_EQ(view().state, ProbeView::State::ok);
  EXPECT_EQ(view().history, 1U);
  EXPECT_TRUE(view().last_success);
}

TEST_F(JobTest, RunThatFailsKeepsAllItsSamples) {
  target.behaviour = returning([](SampleSet& out) {
    out.add(kFakeReading, 7);
    out.fail(Reason::mismatch, "503");
  });
  start();
  ASSERT_TRUE(until([&] { return runs("failed") == 1; }));
  EXPECT_EQ(value("probe_success"), 0);
  EXPECT_EQ(value("fake_reading"), 7);
  EXPECT_EQ(failures("mismatch"), 1);
  EXPECT_EQ(value("vitalsd_probe_last_success_timestamp_seconds"), std::nullopt);

  EXPECT_EQ(view().state, ProbeView::State::failed);
  EXPECT_EQ(view().reason, "mismatch");
  EXPECT_EQ(view().detail, "503");
  EXPECT_EQ(view().history, 2U);
}

TEST_F(JobTest, RunThatThrowsKeepsSamplesAddedBefore) {
  target.behaviour = returning([](SampleSet& out) {
    out.add(kFakeReading, 7);
    throw ProbeError(Reason::protocol, "cut off");
  });
  start();
  ASSERT_TRUE(until([&] { return failures("protocol") == 1; }));
  EXPECT_EQ(value("fake_reading"), 7);
  EXPECT_EQ(view().detail, "cut off");
}

TEST_F(JobTest, OtherExceptionsAreInternalFailures) {
  target.behaviour = returning([](SampleSet&) { throw std::out_of_range("no such index"); });
  start();
  ASSERT_TRUE(until([&] { return failures("internal") == 1; }));
  EXPECT_EQ(view().detail, "no such index");
}

TEST_F(JobTest, SystemErrorsAreConnectFailures) {
  target.behaviour = returning(
      [](SampleSet&) { throw boost::system::system_error(boost::asio::error::connection_reset); });
  start();
  ASSERT_TRUE(until([&] { return failures("connect") == 1; }));
  EXPECT_EQ(view().detail, "Connection reset by peer");
}

TEST_F(JobTest, ReplacesInvalidUtf8InDetails) {
  target.behaviour = returning([](SampleSet& out) { out.fail(Reason::protocol, "got \xff"); });
  start();
  ASSERT_TRUE(until([&] { return runs("failed") == 1; }));
  EXPECT_EQ(view().detail, "got \ufffd");
}

TEST_F(JobTest, PassesTheTimeoutToTheRun) {
  std::optional<std::chrono::milliseconds> limit;
  target.behaviour = returning([&](SampleSet& out) { limit = out.time_limit(); });
  start();
  ASSERT_TRUE(until([&] { return limit.has_value(); }));
  EXPECT_EQ(limit, 50ms);
}

// ---- "up" after each reason -----------------------------------------------------------

struct UpCase {
  Reason reason;
  std::optional<double> up;
  friend std::ostream& operator<<(std::ostream& out, const UpCase& test_case) {
    return out << reason_name(test_case.reason);
  }
};

class JobUpTest : public JobTest, public testing::WithParamInterface<UpCase> {};

TEST_P(JobUpTest, DependsOnTheReason) {
  const std::string reason(reason_name(GetParam().reason));
  target.behaviour = throwing(GetParam().reason);
  start();
  ASSERT_TRUE(until([&] { return failures(reason) == 1; }));
  EXPECT_EQ(value("probe_success"), 0);
  EXPECT_EQ(value("fake_up"), GetParam().up);
  EXPECT_EQ(value("vitalsd_target_up", {{"kind", "fake"}}), GetParam().up);
}

INSTANTIATE_TEST_SUITE_P(Reasons, JobUpTest,
                         testing::Values(UpCase{Reason::dns, 0}, UpCase{Reason::connect, 0},
                                         UpCase{Reason::tls, 0}, UpCase{Reason::timeout, 0},
                                         UpCase{Reason::protocol, 0}, UpCase{Reason::unready, 0},
                                         UpCase{Reason::auth, 1}, UpCase{Reason::permission, 1},
                                         UpCase{Reason::mismatch, 1}, UpCase{Reason::overload, 1},
                                         UpCase{Reason::config, std::nullopt},
                                         UpCase{Reason::internal, std::nullopt}),
                         [](const auto& info) {
                           return std::string(reason_name(info.param.reason));
                         });

// DatabaseDown must not fire because vitalsd lacks file descriptors.
TEST_F(JobTest, InternalFailureKeepsUpAndReadingsForOneRun) {
  target.behaviour = returning([](SampleSet& out) { out.add(kFakeReading, 7); });
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  target.behaviour = throwing(Reason::internal);
  ASSERT_TRUE(until([&] { return failures("internal") == 1; }));
  EXPECT_EQ(value("fake_up"), 1);
  EXPECT_EQ(value("fake_reading"), 7);
  ASSERT_TRUE(until([&] { return failures("internal") == 2; }));
  EXPECT_EQ(value("fake_up"), std::nullopt);
  EXPECT_EQ(value("fake_reading"), std::nullopt);
  target.behaviour = throwing(Reason::connect);
  ASSERT_TRUE(until([&] { return failures("connect") == 1; }));
  EXPECT_EQ(value("fake_up"), 0);
}

TEST_F(JobTest, LackOfDescriptorsIsAnInternalFailure) {
  target.behaviour = returning([](SampleSet&) {
    const test::NoDescriptors none;
    EXPECT_TRUE(out_of_descriptors());
    throw boost::system::system_error(EMFILE, boost::system::system_category());
  });
  start();
  ASSERT_TRUE(until([&] { return failures("internal") == 1; }));
  EXPECT_FALSE(out_of_descriptors());
}

// ---- the deadline -------------------------------------------------------------------------------

TEST_F(JobTest, HangingRunEndsAtItsDeadline) {
  target.behaviour = [&](SampleSet& out) {
    out.add(kFakeReading, 7);
    out.doing("waiting for INFO");
    return latch.wait();
  };
  start();
  ASSERT_TRUE(until([&] { return failures("timeout") == 1; }));
  EXPECT_EQ(value("fake_reading"), 7);
  EXPECT_EQ(value("fake_up"), 0);
  EXPECT_GE(value("probe_duration_seconds"), 0.05);
  EXPECT_EQ(view().detail, "no response within 50ms while waiting for INFO");
  ASSERT_TRUE(until([&] { return target.ended == 1; }));  // it was cancelled
  EXPECT_EQ(gate.inside(), 0U);

  target.behaviour = returning([](SampleSet&) {});
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(runs("stuck"), 0);
}

TEST_F(JobTest, ResultAfterTheDeadlineIsDiscarded) {
  target.behaviour = [&](SampleSet& out) { return late(out, latch); };
  start();
  ASSERT_TRUE(until([&] { return failures("timeout") == 1; }));
  latch.open();
  ASSERT_TRUE(until([&] { return target.ended == 1; }));
  EXPECT_EQ(value("fake_fact"), std::nullopt);
  EXPECT_EQ(value("probe_success"), 0);
  EXPECT_EQ(runs("ok"), 0);
}

TEST_F(JobTest, RunThatIgnoresItsCancellationIsStuck) {
  target.behaviour = [&](SampleSet& out) { return late(out, latch); };
  start();
  ASSERT_TRUE(until([&] { return runs("stuck") >= 2; }));
  EXPECT_EQ(failures("timeout"), 1);
  EXPECT_EQ(target.started, 1);  // never two observations at once
  EXPECT_EQ(value("probe_success"), 0);
  EXPECT_EQ(value("fake_up"), 0);
  EXPECT_EQ(view().state, ProbeView::State::stuck);
  EXPECT_TRUE(job->running());
  EXPECT_EQ(gate.inside(), 1U);  // it may still have a connection

  target.behaviour = returning([](SampleSet&) {});
  latch.open();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(value("fake_fact"), std::nullopt);
  EXPECT_EQ(value("fake_up"), 1);
  EXPECT_EQ(view().state, ProbeView::State::ok);
}

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

// ---- checks and parts ---------------------------------------------------------------------------

TEST_F(JobTest, PublishesCheckStatuses) {
  target.behaviour = returning([](SampleSet& out) { out.check(kFakeCheck, 15, "x"); });
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(value("vitalsd_check_status", {{"check", "level"}}), 1);
  ASSERT_EQ(view().checks.size(), 1U);
  EXPECT_EQ(view().checks[0].reading, "15");
  EXPECT_EQ(view().checks[0].object, "x");

  target.behaviour = throwing(Reason::connect);  // the last results stay
  ASSERT_TRUE(until([&] { return runs("failed") == 1; }));
  EXPECT_EQ(view().checks.size(), 1U);
}

TEST_F(JobTest, ComparesReadingsWithConfiguredThresholds) {
  target.behaviour = returning([](SampleSet& out) { out.check(kFakeCheck, 15); });
  JobSpec strict = spec(target);
  strict.thresholds = {{.warn = {}, .critical = 12}};
  start(std::move(strict));
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_EQ(value("vitalsd_check_status", {{"check", "level"}}), 2);
}

TEST_F(JobTest, CountsPartsByTheirOutcome) {
  target.behaviour = returning([](SampleSet& out) {
    out.part("a");
    out.part("b").fail(Reason::tls, "expired");
    out.part("c");
  });
  start();
  ASSERT_TRUE(until([&] { return failures("tls") == 1; }));
  EXPECT_EQ(value("vitalsd_probe_parts", {{"state", "ok"}}), 2);
  EXPECT_EQ(value("vitalsd_probe_parts", {{"state", "failed"}}), 1);
  EXPECT_EQ(view().detail, "b: expired");

  Gate::Ticket occupied;  // a skipped due time keeps the counts
  gate.set_limits(1, 1);
  gate.enter(occupied, "", [] {});
  ASSERT_TRUE(until([&] { return runs("skipped") == 1; }));
  EXPECT_EQ(value("vitalsd_probe_parts", {{"state", "ok"}}), 2);
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
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"failed\"} 0\n");
  EXPECT_EQ(view().state, ProbeView::State::pending);
  EXPECT_EQ(view().target, "elsewhere");
  ASSERT_TRUE(until([&] { return runs("ok") == 2; }));
  EXPECT_EQ(value("probe_success"), 1);
}

TEST_F(JobReloadTest, OtherKindMeansAnotherTarget) {
  start_and_run();
  JobSpec other = successor();
  other.kind = &test::kOtherKind;
  other.thresholds.clear();
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

// ---- state that survives a restart
// --------------------------------------------------------------------

TEST_F(JobTest, MemoryContainsFactsAndTheLastSuccess) {
  target.behaviour = returning(add_both);
  start();
  const std::uint64_t version = job->memory_version();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  EXPECT_GT(job->memory_version(), version);
  const JobMemory memory = job->memory();
  EXPECT_TRUE(memory.last_success);
  EXPECT_EQ(memory.facts, (std::vector<StoredFact>{{"", "fake_fact", {}, 2}}));
}

TEST_F(JobTest, PublishesRestoredStateBeforeTheFirstRun) {
  target.behaviour = throwing(Reason::connect);
  job.emplace(services, spec(target));
  job->restore({std::chrono::system_clock::time_point(1767225600s),
                {{"", "fake_fact", {}, 2}, {"", "fake_reading", {}, 3}}});
  job->start(Job::Clock::now());
  EXPECT_EQ(value("fake_fact"), 2);
  EXPECT_EQ(value("fake_reading"), std::nullopt);  // readings are not restored
  EXPECT_EQ(value("vitalsd_probe_last_success_timestamp_seconds"), 1767225600);
  ASSERT_TRUE(until([&] { return runs("failed") == 2; }));
  EXPECT_EQ(value("fake_fact"), 2);
}

// Regression: after a run, notes of an earlier process were not restored, and then overwritten.
TEST_F(JobTest, RestoresWhatItDoesNotKnowYet) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning(add_both);
  start();
  ASSERT_TRUE(until([&] { return runs("ok") == 1; }));
  const auto success = job->memory().last_success;
  const JobMemory earlier{std::chrono::system_clock::time_point(1767225600s),
                          {{"", "fake_fact", {}, 7}},
                          "read to the end"};
  job->restore_missing(earlier);
  EXPECT_EQ(notes.text, "read to the end");
  EXPECT_EQ(value("fake_fact"), 2);
  EXPECT_EQ(job->memory().last_success, success);
  notes.text = "and more";
  job->restore_missing(earlier);  // notes that were restored are not new
  EXPECT_EQ(notes.text, "and more");
}

TEST_F(JobTest, KeepsNotesThatHaveRecordedSomething) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning([](SampleSet&) {});
  job.emplace(services, spec(target));
  notes.text = "a request";
  ++notes.count;
  job->restore_missing({.last_success = {}, .facts = {}, .notes = "read to the end"});
  EXPECT_EQ(notes.text, "a request");
}

TEST_F(JobTest, SavesAndRestoresTheNotesOfItsProbe) {
  test::FakeNotes notes;
  target.notes = &notes;
  target.behaviour = returning([](SampleSet&) {});
  job.emplace(services, spec(target));
  job->restore({.last_success = {}, .facts = {}, .notes = "read to the end"});
  EXPECT_EQ(notes.text, "read to the end");
  const std::uint64_t version = job->memory_version();
  ++notes.count;
  EXPECT_NE(job->memory_version(), version);
  EXPECT_EQ(job->memory().notes, "read to the end");
  EXPECT_EQ(notes.on_disk, "");
  job->mark_saved(true);
  EXPECT_EQ(notes.on_disk, "read to the end");
  notes.text = "and a line more";
  job->skip_saving();
  EXPECT_EQ(notes.on_disk, "and a line more");
}

}  // namespace
}  // namespace vitalsd
