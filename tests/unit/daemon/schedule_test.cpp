#include "daemon/schedule.hpp"

#include "probes/shard.hpp"

#include <array>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

// A fake clock that starts at a moment that is no multiple of any interval used here.
class ScheduleTest : public testing::Test {
 protected:
  // Moves the clock to the next due time, or by `late` after it, and the schedule to the one after.
  std::int64_t serve(Schedule::Duration late = 0ms) {
    now = schedule.next() + late;
    return schedule.advance(now, 10s, 1s);
  }

  Schedule schedule{"db"};
  Schedule::Clock::time_point now{1'234'567ms};
};

TEST_F(ScheduleTest, FirstDueTimeIsWithinTheSpread) {
  schedule.start(now, 2s);
  EXPECT_GE(schedule.next(), now);
  EXPECT_LT(schedule.next(), now + 2s);
  schedule.start(now, 0s);
  EXPECT_EQ(schedule.next(), now);
}

TEST_F(ScheduleTest, DueTimesAreOneIntervalApart) {
  schedule.start(now, 2s);
  EXPECT_EQ(serve(), 0);
  for (int i = 0; i < 5; ++i) {
    const auto before = schedule.next();
    EXPECT_EQ(serve(25ms), 0);
    EXPECT_EQ(schedule.next(), before + 10s);
  }
}

TEST_F(ScheduleTest, PhaseDependsOnTheNameOnly) {
  Schedule same("db");
  Schedule other("cache");
  for (Schedule* const started : {&same, &other}) {
    started->start(now + 4'321ms, 500ms);
    started->advance(started->next(), 10s, 1s);
  }
  schedule.start(now, 2s);
  serve();
  EXPECT_EQ((same.next() - schedule.next()) % 10s, 0s);
  EXPECT_NE((other.next() - schedule.next()) % 10s, 0s);
}

TEST_F(ScheduleTest, SecondDueTimeIsNotCloseToTheFirst) {
  for (const auto offset : {0s, 1s, 2s, 3s, 4s, 5s, 6s, 7s, 8s, 9s}) {
    schedule.start(now + offset, 0s);
    const auto first = schedule.next();
    EXPECT_EQ(serve(), 0);
    EXPECT_GE(schedule.next() - first, 5s);
    EXPECT_LT(schedule.next() - first, 15s);
  }
}

TEST_F(ScheduleTest, SecondDueTimeLeavesTimeForTheFirstRun) {
  for (const auto offset : {0s, 1s, 2s, 3s, 4s, 5s, 6s, 7s, 8s, 9s}) {
    schedule.start(now + offset, 0s);
    const auto first = schedule.next();
    schedule.advance(first, 10s, 9s);
    EXPECT_GE(schedule.next() - first, 9s);
  }
}

TEST_F(ScheduleTest, CountsMissedDueTimesAndReturnsToThePhase) {
  schedule.start(now, 2s);
  serve();
  const auto due = schedule.next();
  EXPECT_EQ(serve(9'999ms), 0);
  EXPECT_EQ(schedule.next(), due + 10s);
  EXPECT_EQ(serve(35s), 3);
  EXPECT_EQ(schedule.next(), due + 50s);
  EXPECT_EQ(serve(), 0);
}

TEST_F(ScheduleTest, CountsNothingAsMissedBeforeTheFirstRun) {
  schedule.start(now, 2s);
  EXPECT_EQ(serve(1h), 0);
}

TEST_F(ScheduleTest, CountsNothingAsMissedAfterANewStart) {
  schedule.start(now, 2s);
  serve();
  schedule.start(now + 1h, 2s);
  EXPECT_EQ(serve(), 0);
  EXPECT_EQ(serve(), 0);
}

TEST(PhaseHash, SpreadsNamesOverTheInterval) {
  constexpr int kProbes = 1'000;
  std::array<int, 10> tenths{};
  for (int i = 0; i < kProbes; ++i) {
    const double phase =
        std::ldexp(static_cast<double>(stable_hash("probe-" + std::to_string(i))), -64);
    ++tenths.at(static_cast<std::size_t>(phase * 10));
  }
  for (const int count : tenths) EXPECT_NEAR(count, kProbes / 10, 40);
  EXPECT_EQ(stable_hash("db"), stable_hash("db"));
}

}  // namespace
}  // namespace vitalsd
