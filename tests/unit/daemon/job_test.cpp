// How the run of a job ends, and what is published of it.
#include <algorithm>
#include <cerrno>
#include <chrono>
#include <optional>
#include <ostream>
#include <string>
#include <utility>

#include "unit/daemon/job_fixture.hpp"
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

// Adds a sample after a wait that ignores cancellation.
asio::awaitable<void> late(SampleSet& out, Latch& latch) {
  co_await latch.wait_uncancellable();
  out.add(kFakeFact, 1);
}

// ---- how a run ends -----------------------------------------------------------------------------

TEST_F(JobTest, PublishesZeroCountsBeforeTheFirstRun) {
  start();
  EXPECT_EQ(test::samples(exposition),
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"ok\"} 0\n"
            "vitalsd_probe_runs_total{probe=\"p\",instance=\"p\",outcome=\"failed\"} 0\n"
            "vitalsd_probe_status{probe=\"p\",instance=\"p\"} 3\n");
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

// The page, the API and `vitalsd check` show these texts as they are.
TEST_F(JobTest, ShowsTextsOfTheTargetWithoutSecretsAndControlCharacters) {
  target.behaviour = returning([](SampleSet& out) {
    out.conceal("hunter22");
    out.show("\x1b[2Jmessage hunter22\n" + std::string(100'000, 'x'));
    out.check(kFakeCheck, 15, "\u202eobject hunter22");
    out.fail(Reason::auth, "\x9b detail hunter22");
  });
  start();
  ASSERT_TRUE(until([&] { return runs("failed") == 1; }));
  EXPECT_TRUE(view().message.starts_with("\ufffd[2Jmessage ***\nxxx")) << view().message;
  EXPECT_LT(view().message.size(), 10'010U);
  EXPECT_EQ(view().checks.at(0).object, "\ufffdobject ***");
  EXPECT_EQ(view().detail, "\ufffd detail ***");
}

// A target chooses its errors. Errors of a megabyte that alternate would fill the disk.
TEST_F(JobTest, LogsLittleOfErrorsThatAlternate) {
  constexpr int kRuns = 20;
  log::configure({config::LogLevel::warn, config::LogFormat::logfmt});
  testing::internal::CaptureStderr();
  target.behaviour = returning([&](SampleSet&) {
    const std::string text(1'000'000, target.started % 2 == 0 ? 'x' : 'y');
    throw ProbeError(target.started % 4 < 2 ? Reason::protocol : Reason::mismatch, text);
  });
  start();
  const bool have_run = until([&] { return runs("failed") == kRuns; });
  const std::string logged = testing::internal::GetCapturedStderr();
  ASSERT_TRUE(have_run);
  // One line for each change of the reason.
  EXPECT_EQ(std::ranges::count(logged, '\n'), kRuns / 2 + 1) << logged;
  EXPECT_EQ(board.events("p").size(), kRuns / 2 + 1);  // the pages agree
  EXPECT_LT(logged.size(), (kRuns / 2 + 1) * 800U);
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
  if (test::kIsSanitized) GTEST_SKIP() << test::kUbsanNeedsAPipe;
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
  strict.checks = {Thresholds{.warn = {}, .critical = 12}};
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

}  // namespace
}  // namespace vitalsd
