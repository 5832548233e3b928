#include "config/scalar.hpp"

#include <gtest/gtest.h>

namespace vitalsd::config {
namespace {

template <class T>
std::string error_of(std::string_view text) {
  const auto parsed = Scalar<T>::parse(text);
  return parsed ? "accepted" : parsed.error();
}

TEST(Duration, TakesUnitsLargestFirst) {
  EXPECT_EQ(*Scalar<Duration>::parse("500ms"), Duration(500));
  EXPECT_EQ(*Scalar<Duration>::parse("1h30m"), Duration(5'400'000));
  EXPECT_EQ(*Scalar<Duration>::parse("24h"), Duration(86'400'000));
}

TEST(Duration, SaysHowToWriteOne) {
  EXPECT_EQ(error_of<Duration>("30"),
            "'30' has no unit: write for example 500ms, 30s, 5m, 24h or 30d");
  EXPECT_EQ(error_of<Duration>("30m1h"),
            "'30m1h' is not a duration: the larger unit comes first, once");
  EXPECT_EQ(error_of<Duration>("99999999999999999999s"), "'99999999999999999999' is too large");
}

TEST(Duration, ShowsWhatItReads) {
  for (const char* text : {"500ms", "30s", "1h30m", "24h", "7d", "1m1s"}) {
    EXPECT_EQ(Scalar<Duration>::show(*Scalar<Duration>::parse(text)), text);
  }
}

}  // namespace
}  // namespace vitalsd::config
