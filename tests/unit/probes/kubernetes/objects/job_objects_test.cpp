#include "probes/kubernetes/objects/job_objects.hpp"

#include <optional>
#include <utility>
#include <vector>

#include "unit/support/protobuf.hpp"

namespace vitalsd::kubernetes {
namespace {

using test::Message;
using test::metadata;

constexpr double kHour = 3600;
constexpr double kGrace = 120;
constexpr int kMax = 100;

Message job_condition(std::string_view type, std::string_view status, std::string_view reason) {
  return Message().text(1, type).text(2, status).text(5, reason).time(4, 70);
}

Message job() {
  const Message owner =
      Message().text(1, "CronJob").text(3, "nightly").text(4, "uid-9").number(6, 1);
  const Message status =
      Message()
          .message(1, job_condition("FailureTarget", "True", "BackoffLimitExceeded"))
          .message(1, job_condition("Failed", "True", "BackoffLimitExceeded"))
          .time(2, 1100)
          .time(3, 1200)
          .number(4, 1)
          .number(5, 2)
          .number(6, 3)
          .number(9, 4);
  return Message()
      .message(1, metadata("nightly-1").message(13, owner))
      .message(2, Message().number(1, 2).number(2, 5).number(10, 1))
      .message(3, status);
}

TEST(JobObjects, ReadsAJob) {
  const Job nightly = read_job(test::with_unknown_fields(job()).bytes());
  EXPECT_EQ(nightly.key(), "shop/nightly-1");
  EXPECT_EQ(nightly.meta.owner_kind, "CronJob");
  EXPECT_EQ(nightly.meta.owner_name, "nightly");
  EXPECT_EQ(nightly.parallelism, 2);
  EXPECT_EQ(nightly.completions, 5);
  EXPECT_TRUE(nightly.suspended);
  EXPECT_EQ(nightly.started, 1100);
  EXPECT_EQ(nightly.completed, 1200);
  EXPECT_EQ(nightly.active, 1);
  EXPECT_EQ(nightly.succeeded, 2);
  EXPECT_EQ(nightly.failed, 3);
  EXPECT_EQ(nightly.ready, 4);
  EXPECT_TRUE(nightly.is("Failed"));
  EXPECT_FALSE(nightly.is("Complete"));
  EXPECT_EQ(nightly.condition("Failed")->reason.get(), "BackoffLimitExceeded");
  EXPECT_EQ(nightly.conditions.size(), 1U) << "other types are not published";
}

TEST(JobObjects, MissingFieldsAreUnknown) {
  const Job job = read_job("");
  EXPECT_EQ(job.parallelism, std::nullopt);
  EXPECT_EQ(job.completions, std::nullopt);
  EXPECT_EQ(job.started, std::nullopt);
  EXPECT_EQ(job.ready, std::nullopt);
  EXPECT_FALSE(job.is("Failed"));
  const Message unknown = job_condition("Failed", "Unknown", "");
  EXPECT_FALSE(read_job(Message().message(3, Message().message(1, unknown)).bytes()).is("Failed"));
}

struct Cron {
  std::string schedule = "0 * * * *";
  std::string zone{};
  std::string policy = "Allow";
  std::int64_t suspended = 0;
  std::int64_t last = 0;  // 0: never
  int active = 0;
  std::string running = "nightly-1";  // name of the active Jobs
  std::int64_t success = -1;          // -1: five seconds after `last`; 0: never

  [[nodiscard]] Message message() const {
    Message spec = Message().text(1, schedule).number(2, 60).text(3, policy).number(4, suspended);
    if (!zone.empty()) spec.text(8, zone);
    Message status;
    for (int i = 0; i < active; ++i) status.message(1, Message().text(3, running));
    if (last != 0) status.time(4, last);
    const std::int64_t succeeded = success == -1 && last != 0 ? last + 5 : success;
    if (succeeded > 0) status.time(5, succeeded);
    return Message().message(1, metadata("nightly")).message(2, spec).message(3, status);
  }
  [[nodiscard]] CronJob read() const { return read_cron_job(message().bytes()); }
};

TEST(JobObjects, ReadsACronJob) {
  const Cron cron{
      .zone = "Asia/Tokyo", .policy = "Forbid", .suspended = 1, .last = 7200, .active = 2};
  const CronJob nightly = read_cron_job(test::with_unknown_fields(cron.message()).bytes());
  EXPECT_EQ(nightly.key(), "shop/nightly");
  EXPECT_EQ(nightly.schedule, "0 * * * *");
  EXPECT_EQ(nightly.time_zone, "Asia/Tokyo");
  EXPECT_EQ(nightly.concurrency_policy, "Forbid");
  EXPECT_EQ(nightly.starting_deadline, 60);
  EXPECT_TRUE(nightly.suspended);
  ASSERT_EQ(nightly.active.size(), 2U);
  EXPECT_EQ(nightly.active[0].name, "nightly-1");
  EXPECT_EQ(nightly.active[0].scheduled, 7200);
  EXPECT_EQ(nightly.last_schedule, 7200);
  EXPECT_EQ(nightly.last_success, 7205);
  EXPECT_EQ(nightly.next_schedule, 3 * kHour);
  EXPECT_EQ(nightly.schedule_fault, "");
}

TEST(JobObjects, NextTimeFollowsTheLastRunOrTheCreation) {
  EXPECT_EQ(Cron{}.read().next_schedule, kHour) << "created at 1000";
  EXPECT_EQ((Cron{.last = 7200}.read().next_schedule), 3 * kHour);
  // Midnight in Tokyo is 15:00 in UTC.
  EXPECT_EQ((Cron{.schedule = "0 0 * * *", .zone = "Asia/Tokyo"}.read().next_schedule), 15 * kHour);
}

TEST(JobObjects, ReportsAnInvalidSchedule) {
  for (const Cron& invalid : {Cron{.schedule = "every now and then"}, Cron{.schedule = ""},
                              Cron{.zone = "Atlantis/Capital"}}) {
    const CronJob job = invalid.read();
    EXPECT_NE(job.schedule_fault, "");
    EXPECT_EQ(job.next_schedule, std::nullopt);
    EXPECT_EQ(job.missed_runs(1e9, kGrace, kMax), 0);
  }
  const CronJob never = Cron{.schedule = "0 0 30 2 *"}.read();
  EXPECT_EQ(never.schedule_fault, "");
  EXPECT_EQ(never.next_schedule, std::nullopt);
}

TEST(JobObjects, CountsMissedRuns) {
  const CronJob job = Cron{.last = 3600}.read();
  EXPECT_EQ(job.missed_runs(3600 + 60, kGrace, kMax), 0);
  EXPECT_EQ(job.missed_runs(7200 + 119, kGrace, kMax), 0) << "within the grace period";
  EXPECT_EQ(job.missed_runs(7200 + 120, kGrace, kMax), 1);
  EXPECT_EQ(job.missed_runs(4 * kHour + 1, kGrace, kMax), 2);
  EXPECT_EQ(job.missed_runs(4 * kHour + 120, kGrace, kMax), 3);
  EXPECT_EQ(job.missed_runs(1e6 * kHour, kGrace, kMax), kMax);
}

TEST(JobObjects, DoesNotCountSuspendedOrForbiddenRuns) {
  EXPECT_EQ((Cron{.suspended = 1, .last = 3600}.read().missed_runs(1e6, kGrace, kMax)), 0);
  const Cron busy{.policy = "Forbid", .last = 3600, .active = 1};
  EXPECT_EQ(busy.read().missed_runs(1e6, kGrace, kMax), 0);
  const Cron idle{.policy = "Forbid", .last = 3600};
  EXPECT_EQ(idle.read().missed_runs(1e6, kGrace, kMax), kMax);
  const Cron concurrent{.policy = "Allow", .last = 3600, .active = 1};
  EXPECT_EQ(concurrent.read().missed_runs(1e6, kGrace, kMax), kMax);
}

// Reads each state as an update of the previous one, ten seconds later, and returns the last.
CronJob after(const std::vector<Cron>& states) {
  std::optional<CronJob> latest;
  double now = 100'000;
  for (const Cron& state : states) {
    CronJob next = state.read();
    if (latest) next.inherit(*latest, now);
    latest = std::move(next);
    now += 10;
  }
  return std::move(*latest);
}

bool fails(const std::vector<Cron>& states) { return after(states).last_run_failed(1e9, 10); }

TEST(JobObjects, ARunFailedIfItEndedWithoutSuccess) {
  EXPECT_FALSE(fails({{}})) << "no run yet";
  EXPECT_FALSE(fails({{.last = 7200}}));
  EXPECT_FALSE(fails({{.last = 7200, .success = 7200}}));
  EXPECT_TRUE(fails({{.last = 7200, .success = 3605}}));
  EXPECT_TRUE(fails({{.last = 7200, .success = 0}})) << "never succeeded";
}

// The history limits and ttlSecondsAfterFinished delete Jobs, so only the CronJob shows the result.
TEST(JobObjects, ALaterSuccessEndsAFailureWithoutJobs) {
  const Cron failed{.last = 7200, .success = 3605};
  EXPECT_TRUE(fails({failed}));
  EXPECT_FALSE(fails({failed, {.last = 10'800}}));
}

TEST(JobObjects, KeepsTheResultWhileARunIsActive) {
  EXPECT_FALSE(fails({{.last = 7200, .active = 1, .success = 0}})) << "the first run";
  const Cron succeeded{.last = 7200};
  const Cron failed{.last = 7200, .success = 3605};
  const Cron next{.last = 10'800, .active = 1, .running = "nightly-2", .success = 3605};
  EXPECT_FALSE(fails({succeeded, {.last = 10'800, .active = 1, .success = 7205}}));
  EXPECT_TRUE(fails({failed, next}));
  EXPECT_TRUE(fails({failed, next, next}));
  EXPECT_FALSE(fails({failed, next, {.last = 10'800}}));
  EXPECT_TRUE(fails({failed, next, {.last = 10'800, .success = 3605}}));
  EXPECT_FALSE(fails({{.schedule = "0 * * * *", .last = 7200, .active = 1, .success = 3605}}))
      << "the result of the previous run is unknown";
}

// With runs that take longer than their interval, one update replaces the active Job.
TEST(JobObjects, JudgesRunsThatFollowEachOtherImmediately) {
  const Cron first{.last = 3600, .active = 1, .running = "nightly-1", .success = 0};
  const Cron second{.last = 7200, .active = 1, .running = "nightly-2", .success = 0};
  EXPECT_TRUE(fails({first, second}));
  EXPECT_FALSE(
      fails({first, {.last = 7200, .active = 1, .running = "nightly-2", .success = 3605}}));
  EXPECT_TRUE(
      fails({first, second, {.last = 10'800, .active = 1, .running = "nightly-3", .success = 0}}));
  Cron replacing = second;
  replacing.policy = "Replace";
  EXPECT_FALSE(fails({first, replacing})) << "the controller deletes the previous run";
}

TEST(JobObjects, WaitsForTheResultAfterTheEndOfARun) {
  const Cron active{.last = 7200, .active = 1, .success = 3605};
  const Cron ended{.last = 7200, .success = 3605};
  const CronJob job = after({active, ended});  // the second state is that of 100,010
  EXPECT_FALSE(job.last_run_failed(100'019, 10));
  EXPECT_TRUE(job.last_run_failed(100'020, 10));
  const CronJob again = after({active, ended, ended, {.last = 10'800, .success = 3605}});
  EXPECT_EQ(again.failing_since, 100'010) << "a second failure does not start a new period";
}

TEST(JobObjects, DoesNotJudgeSuspendedCronJobs) {
  const Cron failed{.last = 7200, .success = 3605};
  const Cron suspended{.suspended = 1, .last = 7200, .success = 3605};
  EXPECT_FALSE(fails({failed, suspended}));
  EXPECT_TRUE(fails({failed, suspended, failed})) << "resumed";
}

TEST(JobObjects, CountsMissedRunsFromTheEndOfASuspension) {
  const Cron idle{.last = 7200};
  const Cron suspended{.suspended = 1, .last = 7200};
  const CronJob resumed = after({idle, suspended, suspended, idle, idle});
  EXPECT_EQ(resumed.resumed, 100'030);
  EXPECT_EQ(resumed.next_schedule, 28 * kHour);  // 100,800
  EXPECT_EQ(resumed.missed_runs(28 * kHour + 60, kGrace, kMax), 0);
  EXPECT_EQ(resumed.missed_runs(29 * kHour + 130, kGrace, kMax), 2);
  EXPECT_EQ(after({idle, idle}).missed_runs(29 * kHour + 130, kGrace, kMax), 27);
  const CronJob ran = after({suspended, idle, {.last = 29 * 3600}});
  EXPECT_EQ(ran.next_schedule, 30 * kHour) << "the last run is later";
}

// After a restart, only the API shows when a CronJob was resumed.
TEST(JobObjects, CountsMissedRunsFromTheLastWriteOfSuspend) {
  const auto entry = [](std::int64_t time, std::string_view fields) {
    return Message().text(1, "kubectl-patch").time(4, time).message(7, Message().text(1, fields));
  };
  const auto read = [](std::vector<Message> entries) {
    Message metadata = Message().text(1, "nightly").text(3, "shop").time(8, 1000);
    for (const Message& each : entries) metadata.message(17, each);
    const Message job = Message()
                            .message(1, metadata)
                            .message(2, Message().text(1, "0 * * * *").number(4, 0))
                            .message(3, Message().time(4, 7200));
    return read_cron_job(job.bytes());
  };
  const auto next = [&](std::vector<Message> entries) {
    return read(std::move(entries)).next_schedule;
  };
  const std::string suspend = R"({"f:spec":{"f:suspend":{}}})";
  EXPECT_EQ(next({entry(100'030, suspend)}), 28 * kHour);
  EXPECT_EQ(next({entry(100'030, suspend), entry(50'000, suspend)}), 28 * kHour);
  EXPECT_EQ(next({entry(5000, suspend)}), 3 * kHour) << "the last run is later";
  for (const std::string_view other :
       {R"({"f:spec":{"f:schedule":{}}})", R"({"f:status":{"f:active":{}}})",
        R"({"f:spec":{"f:jobTemplate":{"f:spec":{"f:suspend":{}}}}})", R"({"f:spec":[]})", "{",
        ""}) {
    EXPECT_EQ(next({entry(100'030, other)}), 3 * kHour) << other;
  }

  // A later write is another change by the same client, such as a new image.
  const CronJob known = read({entry(5000, suspend)});
  CronJob changed = read({entry(100'030, suspend)});
  changed.inherit(known, 100'040);
  EXPECT_EQ(changed.next_schedule, 3 * kHour);
}

TEST(JobObjects, AnotherCronJobOfTheSameNameInheritsNothing) {
  CronJob previous = Cron{.suspended = 1, .last = 7200, .success = 0}.read();
  previous.meta.uid = "uid-2";
  CronJob job = Cron{.last = 10'800, .active = 1, .success = 0}.read();
  const CronJob unchanged = job;
  job.inherit(previous, 100'000);
  EXPECT_EQ(job, unchanged);
}

// Servers up to 1.20 send v1beta1, which has no lastSuccessfulTime; 1.21 has it and leaves it
// empty.
LastRun result(const Cron& cron, const EndedRun* newest, bool records_success = false) {
  const CronJob job = cron.read();
  EXPECT_TRUE(job.needs_jobs());
  return job.result_by_jobs(newest, records_success, 1e9, 10);
}

TEST(JobObjects, WithoutRecordedSuccessesTheJobsHaveTheResult) {
  const Cron cron{.last = 7200, .success = 0};
  EndedRun run{
      .name = "shop/nightly-1", .cron_job = "shop/nightly", .created = 7201, .succeeded = true};
  EXPECT_EQ(result(cron, &run), LastRun::not_failed);
  EXPECT_EQ(result(cron, &run, true), LastRun::not_failed) << "since an upgrade without a run";
  run.succeeded = false;
  EXPECT_EQ(result(cron, &run), LastRun::failed);
  run.created = 7199;
  EXPECT_EQ(result(cron, &run), LastRun::failed) << "the clocks differ";
  run.created = 3601;
  EXPECT_EQ(result(cron, &run), LastRun::unknown) << "a Job of the run before the last";
  EXPECT_EQ(result(cron, nullptr), LastRun::unknown) << "its Jobs are deleted when they end";
  EXPECT_EQ(result(cron, nullptr, true), LastRun::failed) << "it has never succeeded";
}

TEST(JobObjects, NeedsJobsOnlyForAResultThatTheStatusLacks) {
  EXPECT_FALSE(Cron{}.read().needs_jobs()) << "no run yet";
  EXPECT_FALSE((Cron{.last = 7200}.read().needs_jobs()));
  EXPECT_FALSE((Cron{.last = 7200, .active = 1, .success = 0}.read().needs_jobs()));
  EXPECT_FALSE((Cron{.suspended = 1, .last = 7200, .success = 0}.read().needs_jobs()));
  EXPECT_TRUE((Cron{.last = 7200, .success = 0}.read().needs_jobs()));
}

TEST(JobObjects, ReadsARunThatHasEnded) {
  const auto failed = read_ended_run(job().bytes());
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->key(), "shop/nightly-1");
  EXPECT_EQ(failed->cron_job, "shop/nightly");
  EXPECT_EQ(failed->created, 1000);
  EXPECT_FALSE(failed->succeeded);
  const Message owner = Message().text(1, "CronJob").text(3, "nightly").number(6, 1);
  const auto run = [&](const Message& status, bool owned) {
    Message meta = metadata("nightly-1");
    if (owned) meta.message(13, owner);
    return read_ended_run(Message().message(1, meta).message(3, status).bytes());
  };
  const Message complete = Message().message(1, job_condition("Complete", "True", ""));
  EXPECT_TRUE(run(complete, true)->succeeded);
  EXPECT_FALSE(run(complete, false)) << "not that of a CronJob";
  EXPECT_FALSE(run(Message().number(4, 1), true)) << "it runs";
}

TEST(JobObjects, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(job().bytes(), &read_job);
  test::expect_hostile_bytes_refused(Cron{.last = 3600, .active = 1}.message().bytes(),
                                     &read_cron_job);
}

}  // namespace
}  // namespace vitalsd::kubernetes
