#include "probes/kubernetes/objects/cron_schedule.hpp"

#include "probes/kubernetes/objects/time.hpp"

#include <limits>
#include <optional>
#include <string>
#include <string_view>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using testing::HasSubstr;

CronSchedule schedule(std::string_view text, std::string_view zone = "") {
  const auto parsed = CronSchedule::parse(text, zone);
  if (!parsed) throw std::invalid_argument(parsed.error());
  return *parsed;
}

std::string error_of(std::string_view text, std::string_view zone = "") {
  const auto parsed = CronSchedule::parse(text, zone);
  return parsed ? "" : parsed.error();
}

double at(std::string_view text) { return parse_time(text).value(); }

TEST(CronSchedule, StepsInUtc) {
  struct Case {
    std::string_view schedule;
    std::string_view next;
  };
  for (const auto& [text, next] : {
           Case{"* * * * *", "2026-11-23T02:01:00Z"},
           Case{"*/5 * * * *", "2026-11-23T02:05:00Z"},
           Case{"0 * * * *", "2026-11-23T03:00:00Z"},
           Case{"30 2 * * *", "2026-11-23T02:30:00Z"},
           Case{"0 2 * * *", "2026-11-24T02:00:00Z"},
           Case{"  0\t3 * * *  ", "2026-11-23T03:00:00Z"},
           Case{"15,45 8-18/2 * * mon-fri", "2026-11-23T08:15:00Z"},
           Case{"0 0 1 * *", "2026-12-01T00:00:00Z"},
           Case{"0 0 31 * *", "2026-12-31T00:00:00Z"},
           Case{"0 0 29 2 *", "2028-02-29T00:00:00Z"},
           Case{"59 23 31 12 ?", "2026-12-31T23:59:00Z"},
           Case{"5/20 3 * jan,JUL *", "2027-01-01T03:05:00Z"},
           Case{"0 0 * Dec SUN", "2026-12-06T00:00:00Z"},
           Case{"0/90 * * * *", "2026-11-23T03:00:00Z"},  // a step beyond the maximum
           // Numbers and lists as Go parses them
           Case{"+4 * * * *", "2026-11-23T02:04:00Z"},
           Case{"*/+2 * * * *", "2026-11-23T02:02:00Z"},
           Case{",7,,9, * * * *", "2026-11-23T02:07:00Z"},
           Case{"*-9 * * * *", "2026-11-23T02:01:00Z"},
           // Descriptors
           Case{"@hourly", "2026-11-23T03:00:00Z"},
           Case{"@daily", "2026-11-24T00:00:00Z"},
           Case{"@midnight", "2026-11-24T00:00:00Z"},
           Case{"@weekly", "2026-11-29T00:00:00Z"},
           Case{"@monthly", "2026-12-01T00:00:00Z"},
           Case{"@yearly", "2027-01-01T00:00:00Z"},
           Case{"@annually", "2027-01-01T00:00:00Z"},
           // Intervals: whole seconds, at least one
           Case{"@every 90s", "2026-11-23T02:01:35Z"},
           Case{"@every 1h30m", "2026-11-23T03:30:05Z"},
           Case{"@every 2h3m4.9s", "2026-11-23T04:03:09Z"},
           Case{"@every .5h", "2026-11-23T02:30:05Z"},
           Case{"@every 1500ms", "2026-11-23T02:00:06Z"},
           Case{"@every 3000000us", "2026-11-23T02:00:08Z"},
           Case{"@every 3000000\u00b5s", "2026-11-23T02:00:08Z"},
           Case{"@every 10ns", "2026-11-23T02:00:06Z"},
           Case{"@every 0", "2026-11-23T02:00:06Z"},
           Case{"@every -5m", "2026-11-23T02:00:06Z"},
       }) {
    EXPECT_EQ(schedule(text).next(at("2026-11-23T02:00:05Z")), at(next)) << text;
  }
}

TEST(CronSchedule, MatchesEitherDayIfBothAreRestricted) {
  struct Case {
    std::string_view schedule;
    std::string_view next;
  };
  for (const auto& [text, next] : {
           Case{"0 0 13 * 5", "2026-11-27T00:00:00Z"},     // a Friday
           Case{"0 0 25 * 5", "2026-11-25T00:00:00Z"},     // the 25th
           Case{"0 0 1-7 * MON", "2026-11-30T00:00:00Z"},  // not "the first Monday"
           Case{"0 0 */2 * 1", "2026-11-25T00:00:00Z"},    // a star with a step is a restriction
           Case{"0 0 * * 5", "2026-11-27T00:00:00Z"}, Case{"0 0 ? * 5", "2026-11-27T00:00:00Z"},
           Case{"0 0 *,1 * 5", "2026-11-27T00:00:00Z"},  // a star anywhere in the list counts
           Case{"0 0 */1 * 5", "2026-11-27T00:00:00Z"}, Case{"0 0 13 * *", "2026-12-13T00:00:00Z"},
           Case{"0 0 13 * 0-6", "2026-11-24T00:00:00Z"},  // every day of the week, but no star
       }) {
    EXPECT_EQ(schedule(text).next(at("2026-11-23T02:00:05Z")), at(next)) << text;
  }
}

// Each result is that of robfig/cron 3.0.1 with Go 1.25. 200,000 random schedules were compared
// too.
TEST(CronSchedule, StepsInZonesAsTheControllerDoes) {
  struct Case {
    std::string_view zone;
    std::string_view schedule;
    std::string_view after;
    std::string_view next;
  };
  for (const auto& [zone, text, after, next] : {
           Case{"Asia/Kathmandu", "0 0 * * *", "2026-11-23T02:00:05Z", "2026-11-24T00:00:00+05:45"},
           // 2:00 to 3:00 does not exist: the day is skipped.
           Case{"Europe/Berlin", "0 2 * * *", "2020-03-28T04:46:14+01:00",
                "2020-03-30T02:00:00+02:00"},
           Case{"America/New_York", "30 2 * * *", "2023-03-11T09:43:23-05:00",
                "2023-03-13T02:30:00-04:00"},
           Case{"Europe/Berlin", "@hourly", "2024-03-31T01:00:00+01:00",
                "2024-03-31T03:00:00+02:00"},
           Case{"Europe/Berlin", "@daily", "2016-03-27T01:30:00+01:00",
                "2016-03-28T00:00:00+02:00"},
           // 2:00 to 3:00 exists twice: the job runs twice.
           Case{"Europe/Berlin", "30 2 * * *", "2024-10-26T09:00:00+02:00",
                "2024-10-27T02:30:00+02:00"},
           Case{"Europe/Berlin", "30 2 * * *", "2027-10-31T02:12:31+01:00",
                "2027-10-31T02:30:00+01:00"},
           Case{"America/New_York", "0 * * * *", "2025-11-02T01:30:00-04:00",
                "2025-11-02T01:00:00-05:00"},
           // Midnight does not exist, or it exists twice.
           Case{"America/Sao_Paulo", "0 0 * * *", "2013-10-19T23:37:03-03:00",
                "2013-10-21T00:00:00-02:00"},
           Case{"America/Sao_Paulo", "0 * * * *", "2006-11-04T23:56:31-03:00",
                "2006-11-05T01:00:00-02:00"},
           Case{"America/Sao_Paulo", "@hourly", "2015-02-21T23:47:55-02:00",
                "2015-02-21T23:00:00-03:00"},
           Case{"America/Havana", "0 * * * *", "2034-11-05T00:30:00-04:00",
                "2034-11-05T00:00:00-05:00"},
           // The clock changes by half an hour.
           Case{"Australia/Lord_Howe", "*/5 * * * *", "2029-10-07T01:59:42+10:30",
                "2029-10-07T02:30:00+11:00"},
           Case{"Australia/Lord_Howe", "0 * * * *", "2014-04-06T01:55:48+11:00",
                "2014-04-06T02:00:00+10:30"},
           // Steps of an hour from 1:00 never reach a full hour again. The original has the same
           // bug.
           Case{"Australia/Lord_Howe", "0 0 * * *", "2029-04-01T01:00:00+11:00",
                "2029-04-03T00:00:00+10:30"},
       }) {
    EXPECT_EQ(schedule(text, zone).next(at(after)), at(next))
        << zone << ' ' << text << ' ' << after;
  }
}

TEST(CronSchedule, ReturnsNothingIfNoTimeMatches) {
  for (const std::string_view text :
       {"30 2 31 2 *", "0 0 30 2 *", "0 0 31 4,6,9,11 *", "* * 30-31 feb ?"}) {
    for (const std::string_view zone : {"", "Europe/Berlin"}) {
      EXPECT_EQ(schedule(text, zone).next(at("2026-11-23T02:00:05Z")), std::nullopt) << text;
      EXPECT_EQ(schedule(text, zone).missed(0, at("2026-11-23T02:00:05Z"), 100), 0) << text;
    }
  }
  // Samoa had no December 30 in 2011. Go's cron never ends there.
  EXPECT_EQ(schedule("0 0 31 12 *", "Pacific/Apia").next(at("2011-12-28T00:00:00Z")), std::nullopt);
  // There is no February 29 between 2096 and 2104, and the search ends after five years.
  EXPECT_EQ(schedule("0 0 29 2 *").next(at("2096-03-01T00:00:00Z")), std::nullopt);
}

TEST(CronSchedule, ReturnsATimeAfterTheGivenOne) {
  EXPECT_EQ(schedule("0 2 * * *").next(at("2026-11-23T01:59:59.999Z")), at("2026-11-23T02:00:00Z"));
  EXPECT_EQ(schedule("0 2 * * *").next(at("2026-11-23T02:00:00Z")), at("2026-11-24T02:00:00Z"));
  EXPECT_EQ(schedule("@every 1s").next(at("2026-11-23T02:00:00.5Z")), at("2026-11-23T02:00:01Z"));
}

TEST(CronSchedule, ReturnsNothingOutsideTheSupportedYears) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double after :
       {-1.0, 1e12, 1e300, kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN()}) {
    EXPECT_EQ(schedule("* * * * *").next(after), std::nullopt) << after;
    EXPECT_EQ(schedule("@every 1m").next(after), std::nullopt) << after;
  }
  EXPECT_EQ(schedule("* * * * *").next(0), 60);
}

TEST(CronSchedule, CountsMissedRuns) {
  const double now = at("2026-11-23T02:00:05Z");
  constexpr double kHour = 3600;
  EXPECT_EQ(schedule("@hourly").missed(now, now, 100), 0);
  EXPECT_EQ(schedule("@hourly").missed(now - 5, now, 100), 0);
  EXPECT_EQ(schedule("@hourly").missed(now - 6, now, 100), 1);
  EXPECT_EQ(schedule("@hourly").missed(now - 10 * kHour, now, 100), 10);
  EXPECT_EQ(schedule("@hourly").missed(now - 101 * kHour, now, 100), 100);
  EXPECT_EQ(schedule("@every 1s").missed(0, now, 100), 100);
  EXPECT_EQ(schedule("@hourly").missed(now + kHour, now, 100), 0);
  EXPECT_EQ(schedule("@hourly").missed(0, now, 0), 0);
  // The clocks are set forward between the runs on March 28 and March 30.
  EXPECT_EQ(schedule("30 2 * * *", "Europe/Berlin")
                .missed(at("2026-03-28T02:30:00+01:00"), at("2026-03-30T02:30:00+02:00"), 100),
            1);
}

TEST(CronSchedule, ReportsWhatIsInvalid) {
  struct Case {
    std::string_view schedule;
    std::string_view error;
  };
  for (const auto& [text, error] : {
           Case{"", ": expected 5 fields, found 0"},
           Case{"* * * *", ": expected 5 fields, found 4"},
           Case{"0 * * * * *", ": expected 5 fields, found 6"},
           Case{"60 * * * *", "minute \"60\": must be between 0 and 59"},
           Case{"* 24 * * *", "hour \"24\": must be between 0 and 23"},
           Case{"* * 0 * *", "day of month \"0\": must be between 1 and 31"},
           Case{"* * 32 * *", "day of month \"32\": must be between 1 and 31"},
           Case{"* * * 0-3 *", "month \"0-3\": must be between 1 and 12"},
           Case{"* * * 13 *", "month \"13\": must be between 1 and 12"},
           Case{"* * * * 7", "day of week \"7\": must be between 0 and 6"},
           Case{"* * * * fri-sun",
                "day of week \"fri-sun\": the start of the range is greater than its end"},
           Case{"30-10 * * * *",
                "minute \"30-10\": the start of the range is greater than its end"},
           Case{"*/0 * * * *", "minute \"*/0\": the step must not be 0"},
           Case{"*/-2 * * * *", "minute \"*/-2\": not a number"},
           Case{"*/ * * * *", "minute \"*/\": not a number"},
           Case{"1-2-3 * * * *", "minute \"1-2-3\": not a valid range"},
           Case{"1/2/3 * * * *", "minute \"1/2/3\": more than one step"},
           Case{"-5 * * * *", "minute \"-5\": not a number"},
           Case{"5- * * * *", "minute \"5-\": not a number"},
           Case{"1.5 * * * *", "minute \"1.5\": not a number"},
           Case{"** * * * *", "minute \"**\": not a number"},
           Case{"+-1 * * * *", "minute \"+-1\": not a number"},
           Case{"++1 * * * *", "minute \"++1\": not a number"},
           Case{"99999999999999999999 * * * *", "not a number"},
           Case{"*/9223372036854775808 * * * *", "not a number"},
           Case{"jan * * * *", "minute \"jan\": not a number"},
           Case{"* * * monday *", "month \"monday\": not a number"},
           Case{", * * * *", ": no value for minute"},
           Case{"* * * * ,,", ": no value for day of week"},
           Case{"@reboot", ": unknown descriptor"},
           Case{"@Daily", ": unknown descriptor"},
           Case{"@daily ", ": unknown descriptor"},
           Case{"@every", ": unknown descriptor"},
           Case{"@every ", ": not a valid duration"},
           Case{"@every 5", ": not a valid duration"},
           Case{"@every 1d", ": not a valid duration"},
           Case{"@every 1e3s", ": not a valid duration"},
           Case{"@every infs", ": not a valid duration"},
           Case{"@every .s", ": not a valid duration"},
           Case{"@every --1s", ": not a valid duration"},
           Case{"@every 300000000h", ": not a valid duration"},
           Case{"TZ=UTC * * * * *", ": set the time zone in timeZone"},
           Case{"CRON_TZ=Europe/Berlin 0 2 * * *", ": set the time zone in timeZone"},
       }) {
    EXPECT_THAT(error_of(text), HasSubstr(error)) << text;
  }
}

TEST(CronSchedule, ReportsUnknownZones) {
  for (const std::string_view zone : {"Nowhere/City", "europe/berlin", "Local", " UTC", "UTC+1",
                                      "../../../etc/passwd", "/etc/localtime", "Europe/", "\n"}) {
    EXPECT_EQ(error_of("* * * * *", zone), "unknown time zone \"" + std::string(zone) + '"');
  }
  EXPECT_EQ(error_of("* * * * *", std::string_view("UTC\0", 4)).substr(0, 17), "unknown time zone");
}

TEST(CronSchedule, TruncatesTextInErrors) {
  constexpr std::size_t kMax = 256;
  const std::string many(1'000'000, '*');
  EXPECT_LT(error_of(many).size(), kMax);
  EXPECT_LT(error_of(many + " * * * *").size(), kMax);
  EXPECT_LT(error_of("* * * * *", many).size(), kMax);
  std::string fields;
  for (int i = 0; i < 100'000; ++i) fields += "* ";
  EXPECT_THAT(error_of(fields), HasSubstr("expected 5 fields, found 100000"));
  EXPECT_THAT(error_of("@every " + std::string(100'000, '9') + 's'),
              HasSubstr("not a valid duration"));
}

}  // namespace
}  // namespace vitalsd::kubernetes
