#include "daemon/units.hpp"

#include <chrono>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

TEST(FormatDuration, UsesTheTwoLargestUnits) {
  EXPECT_EQ(format_duration(0s), "0ms");
  EXPECT_EQ(format_duration(850ms), "850ms");
  EXPECT_EQ(format_duration(12s), "12s");
  EXPECT_EQ(format_duration(3min + 12s), "3m 12s");
  EXPECT_EQ(format_duration(1h), "1h");
  EXPECT_EQ(format_duration(1h + 5s), "1h");
  EXPECT_EQ(format_duration(98h), "4d 2h");
  EXPECT_EQ(format_duration(-90s), "-1m 30s");
}

TEST(FormatDuration, RoundsIntoTheNextUnit) {
  EXPECT_EQ(format_duration(999.4ms), "999ms");
  EXPECT_EQ(format_duration(999.6ms), "1s");
  EXPECT_EQ(format_duration(59.6s), "1m");
}

TEST(FormatReading, FormatsEachUnit) {
  EXPECT_EQ(format_reading(Unit::ratio, 0.8), "80%");
  EXPECT_EQ(format_reading(Unit::ratio, 0.98765), "98.8%");
  EXPECT_EQ(format_reading(Unit::ratio, 0), "0%");
  EXPECT_EQ(format_reading(Unit::ratio, 0.00004), "0.004%");
  EXPECT_EQ(format_reading(Unit::ratio, 4.66e-7), "0.0000466%");
  EXPECT_EQ(format_reading(Unit::ratio, -1e-7), "-0.00001%");
  EXPECT_EQ(format_reading(Unit::ratio, 1), "100%");
  EXPECT_EQ(format_reading(Unit::ratio, 0.9996), "99.96%");
  EXPECT_EQ(format_reading(Unit::ratio, 0.999999), "99.9999%");
  EXPECT_EQ(format_reading(Unit::ratio, 1.0004), "100.04%");
  EXPECT_EQ(format_reading(Unit::ratio, 2.504), "250%");
  EXPECT_EQ(format_reading(Unit::seconds, 86'400), "1d");
  EXPECT_EQ(format_reading(Unit::bytes, 1536), "1.5 KiB");
  EXPECT_EQ(format_reading(Unit::bytes, 5.0 * (1ULL << 40) * 1024), "5120 TiB");
  EXPECT_EQ(format_reading(Unit::bytes, 12), "12 B");
  EXPECT_EQ(format_reading(Unit::none, 1234567), "1234567");
  EXPECT_EQ(format_reading(Unit::none, 3.14159), "3.14");
}

TEST(FormatThreshold, SelectsTheThresholdOfTheStatus) {
  const Check above{.name = "", .unit = Unit::ratio, .warn = {}, .critical = {}, .help = ""};
  const Thresholds both{.warn = 0.8, .critical = 0.9};
  EXPECT_EQ(format_threshold(above, both, Status::ok), "warn above 80%");
  EXPECT_EQ(format_threshold(above, both, Status::warning), "warn above 80%");
  EXPECT_EQ(format_threshold(above, both, Status::critical), "critical above 90%");
  EXPECT_EQ(format_threshold(above, {.warn = {}, .critical = 0.9}, Status::ok),
            "critical above 90%");
  EXPECT_EQ(format_threshold(above, {}, Status::ok), "");

  Check below = above;
  below.worse = Worse::below;
  EXPECT_EQ(format_threshold(below, both, Status::warning), "warn below 80%");
}

}  // namespace
}  // namespace vitalsd
