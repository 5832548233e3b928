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

TEST_F(HitRateTest, KnowsNothingBeforeTwoReadings) {
  EXPECT_EQ(window.rate(), std::nullopt);
  window.add(at(0s), "a", 1'000'000, 0);  // what was before says nothing of now
  EXPECT_EQ(window.rate(), std::nullopt);
}

TEST_F(HitRateTest, IsTheShareOfWhatCameSince) {
  window.add(at(0s), "a", 1'000'000, 0);
  window.add(at(30s), "a", 1'000'030, 10);
  EXPECT_EQ(window.rate(), 0.75);
}

TEST_F(HitRateTest, SaysNothingOfAFewLookUps) {
  window.add(at(0s), "a", 0, 0);
  window.add(at(30s), "a", 0, 9);
  EXPECT_EQ(window.rate(), std::nullopt);
  window.add(at(60s), "a", 0, 10);
  EXPECT_EQ(window.rate(), 0);
}

TEST_F(HitRateTest, ForgetsWhatIsOlderThanTheWindow) {
  window.add(at(0s), "a", 0, 0);
  window.add(at(30s), "a", 100, 0);
  window.add(at(330s), "a", 100, 100);  // the hits came before
  EXPECT_EQ(window.rate(), 0);
}

TEST_F(HitRateTest, KeepsWhatIsWithinTheWindow) {
  window.add(at(0s), "a", 0, 0);
  window.add(at(30s), "a", 100, 0);
  window.add(at(299s), "a", 100, 100);
  EXPECT_EQ(window.rate(), 0.5);
}

TEST_F(HitRateTest, GoesOnOverARestartOfTheServer) {
  window.add(at(0s), "a", 1000, 1000);
  window.add(at(30s), "a", 1020, 1000);
  window.add(at(60s), "b", 30, 50);  // all of it has happened since the restart
  EXPECT_EQ(window.rate(), 0.5);
}

TEST_F(HitRateTest, KnowsANewLifeByItsNameAlone) {
  window.add(at(0s), "a", 10, 10);
  window.add(at(30s), "b", 30, 10);  // more than before, but of another life
  EXPECT_EQ(window.rate(), 0.75);
}

TEST_F(HitRateTest, GoesOnOverAResetOfTheCounters) {
  window.add(at(0s), "a", 1000, 1000);
  window.add(at(30s), "a", 10, 30);
  EXPECT_EQ(window.rate(), 0.25);
}

TEST_F(HitRateTest, LeavesOurOwnLookUpsOut) {
  window.add(at(0s), "a", 0, 0);
  window.exclude(5, 15);
  window.add(at(30s), "a", 15, 25);
  EXPECT_EQ(window.rate(), 0.5);
  window.add(at(60s), "a", 25, 25);  // they are left out once
  EXPECT_EQ(window.rate(), 20.0 / 30);
}

TEST_F(HitRateTest, NeverCountsBelowZero) {
  window.add(at(0s), "a", 0, 0);
  window.exclude(0, 100);
  window.add(at(30s), "a", 20, 0);
  EXPECT_EQ(window.rate(), 1);
}

TEST_F(HitRateTest, IsTheSameHoweverOftenItIsAsked) {
  for (int i = 0; i <= 3000; ++i) window.add(HitRateWindow::Time(i * 100ms), "a", 3.0 * i, 1.0 * i);
  EXPECT_EQ(window.rate(), 0.75);
}

}  // namespace
}  // namespace vitalsd
