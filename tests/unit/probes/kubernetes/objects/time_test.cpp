#include "probes/kubernetes/objects/time.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

TEST(Time, ReadsRfc3339) {
  struct Case {
    std::string_view text;
    double seconds;
  };
  for (const auto& [text, seconds] : {
           Case{"1970-01-01T00:00:00Z", 0},
           Case{"1969-12-31T23:59:59Z", -1},
           Case{"2026-11-23T02:00:05Z", 1795399205},
           Case{"2026-11-23t02:00:05z", 1795399205},
           Case{"2026-11-23T02:00:05.5Z", 1795399205.5},
           Case{"2026-11-23T02:00:05.000000Z", 1795399205},
           Case{"2026-11-23T02:00:05.250000000000Z", 1795399205.25},
           Case{"2026-11-23T02:00:05+00:00", 1795399205},
           Case{"2026-11-23T02:00:05-00:00", 1795399205},
           Case{"2026-11-23T03:30:05+01:30", 1795399205},
           Case{"2026-11-22T14:30:05.5-11:30", 1795399205.5},
           Case{"2024-02-29T00:00:00Z", 1709164800},
           Case{"2000-02-29T00:00:00Z", 951782400},
           Case{"2038-01-19T03:14:08Z", 2147483648},
           Case{"0001-01-01T00:00:00Z", -62135596800},  // Go's zero time
           Case{"9999-12-31T23:59:59Z", 253402300799},
       }) {
    EXPECT_EQ(parse_time(text), seconds) << text;
  }
}

TEST(Time, RejectsInvalidText) {
  for (const std::string_view text : {
           "",
           "2026",
           "2026-11-23",
           "2026-11-23T02:00:05",    // no zone
           "2026-11-23 02:00:05Z",   // no T
           "2026-11-23T02:00Z",      // no seconds
           "2026-11-23T02:00:05.Z",  // no digits of the fraction
           "2026-11-23T02:00:05,5Z",
           "2026-11-23T02:00:05Z ",
           " 2026-11-23T02:00:05Z",
           "2026-11-23T02:00:05ZZ",
           "2026-11-23T02:00:05+0100",
           "2026-11-23T02:00:05+01",
           "2026-11-23T02:00:05+24:00",
           "2026-11-23T02:00:05+01:60",
           "2026-13-01T00:00:00Z",
           "2026-00-01T00:00:00Z",
           "2026-01-00T00:00:00Z",
           "2026-04-31T00:00:00Z",
           "2026-02-29T00:00:00Z",
           "1900-02-29T00:00:00Z",
           "2026-11-23T24:00:00Z",
           "2026-11-23T23:60:00Z",
           "2016-12-31T23:59:60Z",  // a leap second
           "0000-01-01T00:00:00Z",
           "02026-11-23T02:00:05Z",
           "-026-11-23T02:00:05Z",
           "2026-1-23T02:00:05Z",
           "2026-11-23T2:00:05Z",
           "+026-11-23T02:00:05Z",
           "1795399205",
       }) {
    EXPECT_EQ(parse_time(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_time(std::string_view("2026-11-23T02:00:05Z\0", 21)), std::nullopt);
  EXPECT_EQ(parse_time(std::string(100'000, '2')), std::nullopt);
}

TEST(Time, IsExactInNanoseconds) {
  EXPECT_EQ(parse_nanoseconds("1970-01-01T00:00:00Z"), 0);
  EXPECT_EQ(parse_nanoseconds("2026-11-23T12:00:00.000000001Z"), 1795435200'000'000'001);
  EXPECT_EQ(parse_nanoseconds("2026-11-23T14:00:00.123456789+02:00"), 1795435200'123'456'789);
  EXPECT_EQ(parse_nanoseconds("2026-11-23T12:00:00.5Z"), 1795435200'500'000'000);
  EXPECT_EQ(parse_nanoseconds("2026-11-23T12:00:00.9999999999Z"), 1795435200'999'999'999);
  for (const char* text : {"1969-12-31T23:59:59.5Z", "2263-01-01T00:00:00Z", "0001-01-01T00:00:00Z",
                           "2026-11-23T12:00:00.Z", "2026-11-23T12:00:00", ""}) {
    EXPECT_EQ(parse_nanoseconds(text), std::nullopt) << text;
  }
}

TEST(Time, AcceptsLongFractions) {
  EXPECT_EQ(parse_time("1970-01-01T00:00:01." + std::string(100'000, '0') + "1Z"), 1);
  EXPECT_EQ(parse_time("1970-01-01T00:00:01.5" + std::string(100'000, '0') + "Z"), 1.5);
}

}  // namespace
}  // namespace vitalsd::kubernetes
