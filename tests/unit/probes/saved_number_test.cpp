#include "probes/saved_number.hpp"

#include <exception>
#include <limits>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

namespace json = boost::json;

double through_json(double number) {
  return read_saved_number(json::parse(json::serialize(json::value(saved_number(number)))));
}

TEST(SavedNumber, IsExact) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const double number : {0.0, 0.1, 1.0 / 3, 5e-324, 1.7976931348623157e308, kInfinity}) {
    EXPECT_EQ(through_json(number), number);
    EXPECT_EQ(through_json(-number), -number);
  }
  // Unix times with microseconds, of which Boost.JSON reads many with an error.
  for (int i = 0; i < 10'000; ++i) {
    const double time = 1764382386 + i * 0.123457;
    EXPECT_EQ(through_json(time), time);
  }
}

TEST(SavedNumber, MayBeAJsonNumber) {
  EXPECT_EQ(read_saved_number(1.5), 1.5);
  EXPECT_EQ(read_saved_number(3), 3);
}

TEST(SavedNumber, RefusesOthers) {
  for (const json::value& value : {json::value(""), json::value("1x"), json::value(" 1"),
                                   json::value(nullptr), json::value(json::array())}) {
    EXPECT_THROW(read_saved_number(value), std::exception) << json::serialize(value);
  }
}

}  // namespace
}  // namespace vitalsd
