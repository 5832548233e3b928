#include "exporter/model/check.hpp"

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

constexpr Check kAbove{.name = "connections", .warn = {}, .critical = {}, .help = ""};
constexpr Check kBelow{
    .name = "hit_rate", .worse = Worse::below, .warn = {}, .critical = {}, .help = ""};

TEST(Judge, AcceptsReadingsEqualToAThreshold) {
  const Thresholds thresholds{.warn = 80, .critical = 90};
  EXPECT_EQ(judge(kAbove, thresholds, 80), Status::ok);
  EXPECT_EQ(judge(kAbove, thresholds, 80.1), Status::warning);
  EXPECT_EQ(judge(kAbove, thresholds, 90), Status::warning);
  EXPECT_EQ(judge(kAbove, thresholds, 90.1), Status::critical);
}

TEST(Judge, TreatsLowReadingsAsWorseIfDeclared) {
  const Thresholds thresholds{.warn = 0.8, .critical = 0.5};
  EXPECT_EQ(judge(kBelow, thresholds, 0.8), Status::ok);
  EXPECT_EQ(judge(kBelow, thresholds, 0.7), Status::warning);
  EXPECT_EQ(judge(kBelow, thresholds, 0.4), Status::critical);
}

TEST(Judge, WorksWithMissingThresholds) {
  EXPECT_EQ(judge(kAbove, {.warn = 80, .critical = {}}, 1000), Status::warning);
  EXPECT_EQ(judge(kAbove, {.warn = {}, .critical = 90}, 89), Status::ok);
  EXPECT_EQ(judge(kAbove, {.warn = {}, .critical = 90}, 91), Status::critical);
  EXPECT_EQ(judge(kAbove, {}, 1e300), Status::ok);
}

TEST(Thresholds, UseTheFallbackForMissingValues) {
  const Thresholds both = Thresholds{.warn = 1, .critical = {}}.or_else({.warn = 2, .critical = 3});
  EXPECT_EQ(both.warn, 1);
  EXPECT_EQ(both.critical, 3);
}

}  // namespace
}  // namespace vitalsd
