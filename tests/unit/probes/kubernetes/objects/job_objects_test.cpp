#include "probes/kubernetes/objects/job_objects.hpp"

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

  [[nodiscard]] Message message() const {
    Message spec = Message().text(1, schedule).number(2, 60).text(3, policy).number(4, suspended);
    if (!zone.empty()) spec.text(8, zone);
    Message status;
    for (int i = 0; i < active; ++i) status.message(1, Message().text(3, "nightly-1"));
    if (last != 0) status.time(4, last).time(5, last + 5);
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
  EXPECT_EQ(nightly.active, 2);
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

TEST(JobObjects, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(job().bytes(), &read_job);
  test::expect_hostile_bytes_refused(Cron{.last = 3600, .active = 1}.message().bytes(),
                                     &read_cron_job);
}

}  // namespace
}  // namespace vitalsd::kubernetes
