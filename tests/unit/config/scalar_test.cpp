#include "config/scalar.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/scalar.hpp"
#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

TEST(Text, KeepsEveryCharacter) {
  EXPECT_EQ(*Scalar<std::string>::parse("  007 ~ 'x' "), "  007 ~ 'x' ");
  EXPECT_EQ(Scalar<std::string>::show("a b"), "a b");
}

TEST(Bool, AcceptsTrueAndFalseOnly) {
  EXPECT_EQ(*Scalar<bool>::parse("true"), true);
  EXPECT_EQ(*Scalar<bool>::parse("false"), false);
  for (const char* text : {"True", "yes", "on", "1", ""}) {
    EXPECT_EQ(error_of<bool>(text), quoted(text) + " is not valid: must be true or false");
  }
}

TEST(WholeNumber, AcceptsDecimalDigitsOnly) {
  EXPECT_EQ(*Scalar<std::int64_t>::parse("0"), 0);
  EXPECT_EQ(*Scalar<std::int64_t>::parse("-12"), -12);
  EXPECT_EQ(*Scalar<std::int64_t>::parse("9223372036854775807"),
            std::numeric_limits<std::int64_t>::max());
  for (const char* text : {"", "-", "+1", "1.0", "1e3", "0x10", "1_000", " 1", "1 "}) {
    EXPECT_NE(error_of<std::int64_t>(text), "accepted") << text;
  }
}

TEST(WholeNumber, RefusesLeadingZeros) {
  EXPECT_EQ(error_of<std::int64_t>("010"),
            "'010' is not a valid whole number: remove the leading zero");
  EXPECT_EQ(error_of<std::int64_t>("-010"),
            "'010' is not a valid whole number: remove the leading zero");
}

TEST(WholeNumber, RefusesNumbersBeyondSixtyFourBits) {
  for (const char* text : {"9223372036854775808", "-9223372036854775808", "99999999999999999999"}) {
    EXPECT_EQ(error_of<std::int64_t>(text),
              quoted(text) +
                  " is too large: must be between -9223372036854775807 and 9223372036854775807");
  }
}

TEST(Number, RefusesExponentsAndInfinity) {
  EXPECT_EQ(*Scalar<double>::parse("-0.25"), -0.25);
  EXPECT_EQ(shown<double>("1000"), "1000");
  for (const char* text : {"", "1e3", "inf", "nan", "0x1p3", "1,5", "1.5.2", "1.5 "}) {
    EXPECT_EQ(error_of<double>(text), quoted(text) + " is not a valid decimal number");
  }
}

TEST(Duration, AcceptsUnitsFromLargestToSmallest) {
  EXPECT_EQ(*Scalar<Duration>::parse("500ms"), Duration(500));
  EXPECT_EQ(*Scalar<Duration>::parse("1h30m"), Duration(5'400'000));
  EXPECT_EQ(*Scalar<Duration>::parse("24h"), Duration(86'400'000));
  EXPECT_EQ(*Scalar<Duration>::parse("0s"), Duration(0));
}

TEST(Duration, ReportsTheValidForm) {
  constexpr const char* kForm =
      ": must be whole numbers with units (ms, s, m, h, d, w), for example 30s or 1h30m";
  EXPECT_EQ(error_of<Duration>("30"), std::string("'30' has no unit") + kForm);
  EXPECT_EQ(error_of<Duration>("1h30"), std::string("'1h30' has no unit") + kForm);
  for (const char* text : {"", "s", "-5s", "1.5h", "30 s", "30S", "30sec"}) {
    EXPECT_EQ(error_of<Duration>(text), quoted(text) + " is not a valid duration" + kForm);
  }
  EXPECT_EQ(error_of<Duration>("030s"),
            "'030' is not a valid whole number: remove the leading zero");
}

TEST(Duration, RefusesRepeatedAndAscendingUnits) {
  for (const char* text : {"30m1h", "1h1h"}) {
    EXPECT_EQ(error_of<Duration>(text),
              quoted(text) +
                  " is not a valid duration: units must go from largest to smallest, each at most "
                  "once");
  }
}

TEST(Duration, IsAtMostTenYears) {
  EXPECT_EQ(shown<Duration>("3660d"), "3660d");
  for (const char* text : {"3660d1ms", "18446744073709551615w", "99999999999999999999s"}) {
    EXPECT_EQ(error_of<Duration>(text), quoted(text) + " is too long: must be at most 3660d");
  }
}

TEST(Duration, ShowsTheTextThatItParsed) {
  for (const char* text : {"0s", "500ms", "30s", "1h30m", "24h", "48h", "7d", "1m1s", "3d4h5ms"}) {
    EXPECT_EQ(shown<Duration>(text), text);
  }
  EXPECT_EQ(shown<Duration>("2w"), "14d");
  EXPECT_EQ(shown<Duration>("90s"), "1m30s");
}

TEST(Size, AcceptsDecimalAndBinaryUnits) {
  EXPECT_EQ(Scalar<Bytes>::parse("512B")->value, 512U);
  EXPECT_EQ(Scalar<Bytes>::parse("10kB")->value, 10'000U);
  EXPECT_EQ(Scalar<Bytes>::parse("1KiB")->value, 1'024U);
  EXPECT_EQ(Scalar<Bytes>::parse("3GB")->value, 3'000'000'000U);
  EXPECT_EQ(Scalar<Bytes>::parse("2TiB")->value, std::uint64_t{2} << 40);
}

TEST(Size, ReportsTheValidForm) {
  constexpr const char* kForm =
      ": must be a whole number with a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), for example "
      "10kB or 1MiB";
  EXPECT_EQ(error_of<Bytes>("1024"), std::string("'1024' has no unit") + kForm);
  for (const char* text : {"", "GB", "-1B", "1.5GiB", "1 GB", "1gb", "1K", "1Mib"}) {
    EXPECT_EQ(error_of<Bytes>(text), quoted(text) + " is not a valid size" + kForm);
  }
  EXPECT_EQ(error_of<Bytes>("08B"), "'08' is not a valid whole number: remove the leading zero");
}

TEST(Size, RefusesSizesBeyondSixtyThreeBits) {
  EXPECT_EQ(Scalar<Bytes>::parse("8388607TiB")->value, 8'388'607ULL << 40);
  for (const char* text : {"8388608TiB", "99999999999999999999B"}) {
    EXPECT_EQ(error_of<Bytes>(text), quoted(text) + " is too large: must be at most 8388607TiB");
  }
}

TEST(Size, ShowsTheLargestUnitWithoutAFraction) {
  for (const char* text : {"0B", "1B", "1KiB", "3kB", "1536MiB", "5GB"}) {
    EXPECT_EQ(shown<Bytes>(text), text);
  }
  EXPECT_EQ(shown<Bytes>("1024KiB"), "1MiB");
}

TEST(Ratio, AcceptsPercentagesAndFractions) {
  EXPECT_EQ(Scalar<Ratio>::parse("80%")->value, 0.8);
  EXPECT_EQ(Scalar<Ratio>::parse("0.8")->value, 0.8);
  EXPECT_EQ(Scalar<Ratio>::parse("100%")->value, 1);
  EXPECT_EQ(shown<Ratio>("0.125"), "12.5%");
}

TEST(Ratio, ReportsTheValidForm) {
  for (const char* text : {"", "%", "80 %", "much", "80%%"}) {
    EXPECT_EQ(
        error_of<Ratio>(text),
        quoted(text) +
            " is not a valid ratio: must be a percentage or a fraction, for example 80% or 0.8");
  }
  for (const char* text : {"80", "101%", "-1%", "-0.1"}) {
    EXPECT_EQ(
        error_of<Ratio>(text),
        quoted(text) + " is not a valid ratio: must be between 0 and 1, or between 0% and 100%");
  }
}

TEST(ScalarError, HidesThePasswordOfAUrlInAnyScalar) {
  for (const char* text :
       {"postgres://u:secret@h", "postgres://u:secret@h:1/db", "postgres://u:secret@h:1",
        "http://u:se/secret@h:1/", "u:secret@h:1", "u:secret@h/x", "[secret]://u:secret@h:1"}) {
    for (const std::string& error :
         {error_of<Endpoint>(text), error_of<Url>(text), error_of<bool>(text),
          error_of<std::int64_t>(text), error_of<std::int64_t>("-" + std::string(text)),
          error_of<double>(text), error_of<Duration>(text), error_of<Bytes>(text),
          error_of<Ratio>(text)}) {
      EXPECT_FALSE(error.contains("u:")) << error;
      EXPECT_FALSE(error.contains("secret@")) << error;
    }
  }
  EXPECT_EQ(error_of<Endpoint>("redis://u:secret@h:6379/0"),
            "'redis://***@h:6379/0' is a URL: must be host:port, for example db.example:5432");
}

}  // namespace
}  // namespace vitalsd::config
