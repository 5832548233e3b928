#include "probes/redis/hit_rate.hpp"

#include <chrono>
#include <optional>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

class HitRateTest : public testing::Test {
 protected:
  static HitRateWindow::Time at(std::chrono::seconds time) {
    return HitRateWindow::Time(1h + time);
  }

  HitRateWindow window;
};

TEST_F(HitRateTest, NeedsTwoReadings) {
  EXPECT_EQ(window.rate(), std::nullopt);
  window.add(at(0s), "a", 1'000'000, 0);  // since the start of the server
  EXPECT_EQ(window.rate(), std::nullopt);
}

TEST_F(HitRateTest, IsTheShareSinceTheFirstReading) {
  window.add(at(0s), "a", 1'000'000, 0);
  window.add(at(30s), "a", 1'000'030, 10);
  EXPECT_EQ(window.rate(), 0.75);
}

TEST_F(HitRateTest, NeedsTenLookUps) {
  window.add(at(0s), "a", 0, 0);
  window.add(at(30s), "a", 0, 9);
  EXPECT_EQ(window.rate(), std::nullopt);
  window.add(at(60s), "a", 0, 10);
  EXPECT_EQ(window.rate(), 0);
}

TEST_F(HitRateTest, DiscardsReadingsOutsideTheWindow) {
  window.add(at(0s), "a", 0, 0);
  window.add(at(30s), "a", 100, 0);
  window.add(at(330s), "a", 100, 100);  // the hits are older than the window
  EXPECT_EQ(window.rate(), 0);
}

TEST_F(HitRateTest, KeepsReadingsInsideTheWindow) {
  window.add(at(0s), "a", 0, 0);
  window.add(at(30s), "a", 100, 0);
  window.add(at(299s), "a", 100, 100);
  EXPECT_EQ(window.rate(), 0.5);
}

TEST_F(HitRateTest, ContinuesAcrossARestartOfTheServer) {
  window.add(at(0s), "a", 1000, 1000);
  window.add(at(30s), "a", 1020, 1000);
  window.add(at(60s), "b", 30, 50);  // all of these happened after the restart
  EXPECT_EQ(window.rate(), 0.5);
}

TEST_F(HitRateTest, DetectsARestartByTheRunIdAlone) {
  window.add(at(0s), "a", 10, 10);
  window.add(at(30s), "b", 30, 10);  // the counters increased, but the run_id differs
  EXPECT_EQ(window.rate(), 0.75);
}

TEST_F(HitRateTest, ContinuesAcrossAResetOfTheCounters) {
  window.add(at(0s), "a", 1000, 1000);
  window.add(at(30s), "a", 10, 30);
  EXPECT_EQ(window.rate(), 0.25);
}

TEST_F(HitRateTest, ExcludesTheProbesOwnLookUps) {
  window.add(at(0s), "a", 0, 0);
  window.exclude(5, 15);
  window.add(at(30s), "a", 15, 25);
  EXPECT_EQ(window.rate(), 0.5);
  window.add(at(60s), "a", 25, 25);  // nothing more is excluded
  EXPECT_EQ(window.rate(), 20.0 / 30);
}

TEST_F(HitRateTest, NeverGoesBelowZero) {
  window.add(at(0s), "a", 0, 0);
  window.exclude(0, 100);
  window.add(at(30s), "a", 20, 0);
  EXPECT_EQ(window.rate(), 1);
}

TEST_F(HitRateTest, DoesNotDependOnTheInterval) {
  for (int i = 0; i <= 3000; ++i) window.add(HitRateWindow::Time(i * 100ms), "a", 3.0 * i, 1.0 * i);
  EXPECT_EQ(window.rate(), 0.75);
}

}  // namespace
}  // namespace vitalsd
