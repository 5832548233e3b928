// The kind, and its Timetable.
#include "probes/job/timetable.hpp"

#include <chrono>
#include <memory>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/kinds.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using job::History;
using job::Ping;
using job::Timetable;
using Kind = Ping::Kind;

// 2026-03-01T00:00:00Z, a Sunday.
constexpr double kMidnight = 1772323200;
constexpr double kMinute = 60;
constexpr double kHour = 3600;
constexpr double kDay = 86400;

class TimetableTest : public testing::Test {
 protected:
  void read(const std::string& options) {
    config::Problems problems("f");
    const config::Value tree = config::parse_yaml('{' + options + '}', problems);
    config::Node node(tree, "", problems);
    timetable = std::make_unique<Timetable>(node);
    ASSERT_FALSE(problems.has_errors()) << problems.text();
  }
  void send(Kind kind, double now) {
    history.record({kind, {}, ""}, "", now, [](const auto&) {});
  }
  double late(double now) { return timetable->judge(history, now).seconds; }

  History history{kMidnight};
  std::unique_ptr<Timetable> timetable;
};

TEST_F(TimetableTest, ARunMustStartInTime) {
  read("schedule: '0 3 * * *', start_grace: 10m, max_duration: 1h");
  send(Kind::start, kMidnight - kDay + 3 * kHour);
  send(Kind::success, kMidnight - kDay + 3 * kHour + 60);
  EXPECT_EQ(late(kMidnight + 3 * kHour + 10 * kMinute), 0);
  EXPECT_EQ(late(kMidnight + 3 * kHour + 11 * kMinute), 60);
  EXPECT_EQ(timetable->judge(history, kMidnight + 4 * kHour).what,
            "the run of 2026-03-01T03:00:00Z has not started");
  send(Kind::start, kMidnight + 4 * kHour);
  EXPECT_EQ(late(kMidnight + 4 * kHour), 0);
}

TEST_F(TimetableTest, ARunMustEndInTime) {
  read("schedule: '0 3 * * *', max_duration: 1h");
  send(Kind::start, kMidnight + 3 * kHour);
  EXPECT_EQ(late(kMidnight + 4 * kHour), 0);
  EXPECT_EQ(late(kMidnight + 4 * kHour + 5), 5);
  EXPECT_EQ(timetable->judge(history, kMidnight + 5 * kHour).what,
            "the run that started at 2026-03-01T03:00:00Z has not ended");
  send(Kind::failure, kMidnight + 5 * kHour);  // it has ended, so it is not late
  EXPECT_EQ(late(kMidnight + 5 * kHour), 0);
}

TEST_F(TimetableTest, AJobThatReportsItsEndOnlyMayTakeMaxDuration) {
  read("schedule: '0 3 * * *', start_grace: 10m, max_duration: 1h");
  const double last = kMidnight + 4 * kHour + 10 * kMinute;
  EXPECT_EQ(late(last), 0);
  EXPECT_EQ(late(last + 1), 1);
  EXPECT_EQ(timetable->judge(history, last + 1).what,
            "the run of 2026-03-01T03:00:00Z has not ended");
  send(Kind::success, last);
  EXPECT_EQ(late(last + 1), 0);
  EXPECT_EQ(late(last + kDay + 1), 1);
}

// As with concurrencyPolicy: Forbid, the next run is skipped.
TEST_F(TimetableTest, ARunMayBeLongerThanTheInterval) {
  read("schedule: '0 * * * *', start_grace: 5m, max_duration: 3h");
  send(Kind::start, kMidnight + kHour);
  EXPECT_EQ(late(kMidnight + 3 * kHour), 0);
  send(Kind::success, kMidnight + 3 * kHour + kMinute);
  EXPECT_EQ(late(kMidnight + 4 * kHour + 5 * kMinute), 0);
  EXPECT_EQ(late(kMidnight + 4 * kHour + 6 * kMinute), 60);
}

TEST_F(TimetableTest, AJobThatIsKilledInEveryRunIsLate) {
  read("schedule: '0 * * * *', start_grace: 5m, max_duration: 90m");
  for (int hour = 1; hour < 5; ++hour) send(Kind::start, kMidnight + hour * kHour);
  EXPECT_EQ(late(kMidnight + 4 * kHour + kMinute), 91 * kMinute);
}

TEST_F(TimetableTest, AStartThatIsSomeSecondsEarlyBelongsToItsTime) {
  read("schedule: '0 3 * * *', start_grace: 5m");
  send(Kind::start, kMidnight + 3 * kHour - 20);
  send(Kind::success, kMidnight + 3 * kHour - 5);
  EXPECT_EQ(late(kMidnight + 20 * kHour), 0);
}

TEST_F(TimetableTest, TheScheduleHasATimeZone) {
  read("schedule: '30 2 * * *', time_zone: Europe/Berlin, start_grace: 1m, max_duration: 1m");
  EXPECT_EQ(late(kMidnight + kHour + 32 * kMinute), 0);
  EXPECT_EQ(late(kMidnight + kHour + 33 * kMinute), 60);  // 02:33 in Berlin
}

TEST_F(TimetableTest, TheScheduleMayBeAnInterval) {
  read("schedule: '@every 1h', start_grace: 5m, max_duration: 1m");
  send(Kind::success, kMidnight + 10 * kHour);
  EXPECT_EQ(late(kMidnight + 11 * kHour + 6 * kMinute), 0);
  EXPECT_GT(late(kMidnight + 11 * kHour + 7 * kMinute), 0);
}

class JobKindTest : public testing::Test {
 protected:
  // Returns the status of the answer; 0: there is none yet.
  int send(Probe& probe, std::string path, std::string query = "", std::string body = "") {
    int status = 0;
    probe.receiver()->receive(
        {.method = "POST",
         .route = "/api/v1/jobs/p",
         .path = std::move(path),
         .query = std::move(query),
         .body = std::move(body)},
        [&](const PushAnswer& answer) { status = answer.status; }, [] {});
    probe.notes()->serialize();
    probe.notes()->saved();
    return status;
  }

  test::ProbeFixture fixture;
  static constexpr std::string_view kOptions = "schedule: '@every 1h', token: none";
};

TEST_F(JobKindTest, PublishesWhatIsKnown) {
  const auto probe = fixture.make("job", kOptions);
  const test::Observation unknown = fixture.observe(*probe);
  EXPECT_EQ(unknown.failure(), "");
  EXPECT_EQ(unknown.names(), (std::set<std::string>{"job_runs_total"}));
  EXPECT_FALSE(unknown.reading("overdue"));
  EXPECT_FALSE(unknown.reading("failed"));
  EXPECT_EQ(unknown.value("job_runs_total", {{"outcome", "ok"}}), 0);
  EXPECT_EQ(send(*probe, "/start", "rid=7"), 200);
  EXPECT_EQ(send(*probe, "/exit/3", "rid=7", "pg_dump: error"), 200);
  const test::Observation run = fixture.observe(*probe);
  EXPECT_TRUE(run.value("job_last_start_timestamp_seconds"));
  EXPECT_TRUE(run.value("job_last_failure_timestamp_seconds"));
  EXPECT_FALSE(run.value("job_last_success_timestamp_seconds"));
  EXPECT_GE(run.value("job_last_duration_seconds").value_or(-1), 0);
  EXPECT_EQ(run.value("job_last_exit_code"), 3);
  EXPECT_EQ(run.value("job_runs_total", {{"outcome", "failed"}}), 1);
  EXPECT_EQ(run.value("job_overdue"), 0);
  EXPECT_EQ(run.reading("failed"), 1);
  EXPECT_EQ(run.reading("overdue"), 0);
  EXPECT_FALSE(run.text().contains("pg_dump"));  // the message is for the status page only
}

TEST_F(JobKindTest, RefusesInvalidRequests) {
  const auto probe = fixture.make("job", kOptions);
  EXPECT_EQ(send(*probe, "/stop"), 404);
  EXPECT_EQ(send(*probe, "/exit/x"), 400);
  EXPECT_EQ(fixture.observe(*probe).value("job_runs_total", {{"outcome", "ok"}}), 0);
}

TEST_F(JobKindTest, KeepsTheHistoryWhenItsOptionsChange) {
  const auto probe = fixture.make("job", kOptions);
  send(*probe, "");
  const auto next = fixture.make("job", "schedule: '0 3 * * *', token: none, max_duration: 5m");
  EXPECT_EQ(next->target(), probe->target());
  next->inherit(*probe);
  EXPECT_EQ(fixture.observe(*next).value("job_runs_total", {{"outcome", "ok"}}), 1);
}

TEST_F(JobKindTest, HasARoute) {
  const auto open = fixture.make("job", kOptions);
  EXPECT_EQ(open->target(), "/api/v1/jobs/p");
  std::vector<std::string> paths;
  for (const PushRoute& route : open->receiver()->routes()) {
    paths.push_back(route.path);
    EXPECT_FALSE(route.token);
    EXPECT_EQ(route.methods.size(), route.path.starts_with("/metrics/") ? 3U : 1U);
  }
  EXPECT_EQ(paths, (std::vector<std::string>{"/metrics/job/p", "/metrics/job@base64/cA",
                                             "/metrics/job@base64/cA==", "/api/v1/jobs/p"}));
  const auto closed = fixture.make("job", "schedule: '@every 1h', token: {env: JOB_TOKEN}");
  for (const PushRoute& route : closed->receiver()->routes()) EXPECT_TRUE(route.token);
  EXPECT_EQ(fixture.observe(*closed).failure(),
            "config: environment variable JOB_TOKEN is not set");
}

TEST_F(JobKindTest, RefusesInvalidOptions) {
  const auto problem = [&](std::string_view options) {
    try {
      fixture.make("job", options);
    } catch (const std::runtime_error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_TRUE(problem("schedule: '@every 1h'").contains("required key 'token' is missing"));
  EXPECT_TRUE(problem("token: none").contains("required key 'schedule' is missing"));
  EXPECT_TRUE(problem("token: none, schedule: '61 * * * *'").contains("schedule: "));
  EXPECT_TRUE(problem("token: none, schedule: '0 0 30 2 *'").contains("matches no time"));
  EXPECT_TRUE(problem("token: none, schedule: 'TZ=UTC 0 0 * * *'").contains("time_zone"));
  EXPECT_TRUE(problem("token: none, schedule: '@daily', time_zone: Mars/Olympus")
                  .contains("time_zone: unknown time zone"));
}

}  // namespace
}  // namespace vitalsd
