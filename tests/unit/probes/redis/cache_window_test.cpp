#include "probes/redis/cache_window.hpp"

#include <chrono>
#include <optional>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

class CacheWindowTest : public testing::Test {
 protected:
  static CacheWindow::Time at(std::chrono::seconds time) { return CacheWindow::Time(1h + time); }

  CacheWindow window;
};

TEST_F(CacheWindowTest, NeedsTwoReadings) {
  EXPECT_EQ(window.hit_rate(), std::nullopt);
  window.add(at(0s), "a", {.hits = 1'000'000, .misses = 0});  // since the start of the server
  EXPECT_EQ(window.hit_rate(), std::nullopt);
}

TEST_F(CacheWindowTest, IsTheShareSinceTheFirstReading) {
  window.add(at(0s), "a", {.hits = 1'000'000, .misses = 0});
  window.add(at(30s), "a", {.hits = 1'000'030, .misses = 10});
  EXPECT_EQ(window.hit_rate(), 0.75);
}

TEST_F(CacheWindowTest, NeedsTenLookUps) {
  window.add(at(0s), "a", {.hits = 0, .misses = 0});
  window.add(at(30s), "a", {.hits = 0, .misses = 9});
  EXPECT_EQ(window.hit_rate(), std::nullopt);
  window.add(at(60s), "a", {.hits = 0, .misses = 10});
  EXPECT_EQ(window.hit_rate(), 0);
}

TEST_F(CacheWindowTest, DiscardsReadingsOutsideTheWindow) {
  window.add(at(0s), "a", {.hits = 0, .misses = 0});
  window.add(at(30s), "a", {.hits = 100, .misses = 0});
  window.add(at(330s), "a", {.hits = 100, .misses = 100});  // the hits are older than the window
  EXPECT_EQ(window.hit_rate(), 0);
}

TEST_F(CacheWindowTest, KeepsReadingsInsideTheWindow) {
  window.add(at(0s), "a", {.hits = 0, .misses = 0});
  window.add(at(30s), "a", {.hits = 100, .misses = 0});
  window.add(at(299s), "a", {.hits = 100, .misses = 100});
  EXPECT_EQ(window.hit_rate(), 0.5);
}

TEST_F(CacheWindowTest, ContinuesAcrossARestartOfTheServer) {
  window.add(at(0s), "a", {.hits = 1000, .misses = 1000});
  window.add(at(30s), "a", {.hits = 1020, .misses = 1000});
  window.add(at(60s), "b", {.hits = 30, .misses = 50});  // all of these happened after the restart
  EXPECT_EQ(window.hit_rate(), 0.5);
}

TEST_F(CacheWindowTest, DetectsARestartByTheRunIdAlone) {
  window.add(at(0s), "a", {.hits = 10, .misses = 10});
  window.add(at(30s), "b",
             {.hits = 30, .misses = 10});  // the counters increased, but the run_id differs
  EXPECT_EQ(window.hit_rate(), 0.75);
}

TEST_F(CacheWindowTest, ContinuesAcrossAResetOfTheCounters) {
  window.add(at(0s), "a", {.hits = 1000, .misses = 1000});
  window.add(at(30s), "a", {.hits = 10, .misses = 30});
  EXPECT_EQ(window.hit_rate(), 0.25);
}

TEST_F(CacheWindowTest, ExcludesTheProbesOwnLookUps) {
  window.add(at(0s), "a", {.hits = 0, .misses = 0});
  for (int i = 0; i < 20; ++i) window.exclude(i < 5);
  window.add(at(30s), "a", {.hits = 15, .misses = 25, .list_lengths = 20});
  EXPECT_EQ(window.hit_rate(), 0.5);
  window.add(at(60s), "a", {.hits = 25, .misses = 25});  // nothing more is excluded
  EXPECT_EQ(window.hit_rate(), 20.0 / 30);
}

// 34 of 40 lookups of a cache, and four calls of LLEN by another vitalsd that found no list.
TEST_F(CacheWindowTest, IsUnknownIfListsOfOthersMoveIt) {
  window.add(at(0s), "a", {.hits = 7, .misses = 7, .list_lengths = 1000});
  window.add(at(30s), "a", {.hits = 41, .misses = 17, .list_lengths = 1004});
  EXPECT_EQ(window.hit_rate(), std::nullopt);
}

TEST_F(CacheWindowTest, IsTheUpperBoundIfListsOfOthersHardlyMatter) {
  window.add(at(0s), "a", {.hits = 7, .misses = 7, .list_lengths = 1000});
  window.exclude(true);
  window.add(at(30s), "a", {.hits = 758, .misses = 265, .list_lengths = 1009});
  EXPECT_EQ(window.hit_rate(), 0.75);
  window.add(at(60s), "a", {.hits = 758, .misses = 269, .list_lengths = 1013});
  EXPECT_EQ(window.hit_rate(), std::nullopt);
}

TEST_F(CacheWindowTest, IsExactIfAllOrNoneFoundTheirKeys) {
  window.add(at(0s), "a", {});
  window.add(at(30s), "a", {.hits = 0, .misses = 20, .list_lengths = 10});
  EXPECT_EQ(window.hit_rate(), 0);
  window.add(at(400s), "a", {.hits = 20, .misses = 20, .list_lengths = 20});
  window.add(at(430s), "a", {.hits = 40, .misses = 20, .list_lengths = 30});
  EXPECT_EQ(window.hit_rate(), 1);
}

TEST_F(CacheWindowTest, NeedsTenLookUpsBesidesThoseOfLists) {
  window.add(at(0s), "a", {});
  window.add(at(30s), "a", {.hits = 10, .misses = 0, .list_lengths = 1});
  EXPECT_EQ(window.hit_rate(), std::nullopt);
  window.add(at(60s), "a", {.hits = 11, .misses = 0, .list_lengths = 1});
  EXPECT_EQ(window.hit_rate(), 1);
}

TEST_F(CacheWindowTest, CountsEvictions) {
  EXPECT_EQ(window.evictions(), 0);
  window.add(at(0s), "a", {.evictions = 1000});  // since the start of the server
  EXPECT_EQ(window.evictions(), 0);
  window.add(at(30s), "a", {.evictions = 1010});
  window.add(at(60s), "b", {.evictions = 5});
  EXPECT_EQ(window.evictions(), 15);
  window.add(at(331s), "b", {.evictions = 6});
  EXPECT_EQ(window.evictions(), 6);
}

TEST_F(CacheWindowTest, NeverGoesBelowZero) {
  window.add(at(0s), "a", {.hits = 0, .misses = 0});
  for (int i = 0; i < 100; ++i) window.exclude(false);
  window.add(at(30s), "a", {.hits = 20, .misses = 0});
  EXPECT_EQ(window.hit_rate(), 1);
}

TEST_F(CacheWindowTest, DoesNotDependOnTheInterval) {
  for (int i = 0; i <= 3000; ++i)
    window.add(CacheWindow::Time(i * 100ms), "a", {.hits = 3.0 * i, .misses = 1.0 * i});
  EXPECT_EQ(window.hit_rate(), 0.75);
}

}  // namespace
}  // namespace vitalsd
