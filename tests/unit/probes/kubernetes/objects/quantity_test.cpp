#include "probes/kubernetes/objects/quantity.hpp"

#include <cmath>
#include <optional>
#include <string>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

TEST(Quantity, ReadsAllNotations) {
  struct Case {
    std::string_view text;
    double value;
  };
  // The notations in the API's documentation
  // (kubernetes.io/docs/reference/kubernetes-api/common-definitions/quantity)
  for (const auto& [text, value] : {
           Case{"0", 0},
           Case{"1", 1},
           Case{"+1", 1},
           Case{"-1", -1},
           Case{"007", 7},
           Case{"1.5", 1.5},
           Case{".5", 0.5},
           Case{"1.", 1},
           Case{"-0.25", -0.25},
           Case{"100n", 1e-7},
           Case{"100u", 1e-4},
           Case{"500m", 0.5},
           Case{"-500m", -0.5},
           Case{"1100m", 1.1},
           Case{"2k", 2e3},
           Case{"2M", 2e6},
           Case{"2G", 2e9},
           Case{"2T", 2e12},
           Case{"2P", 2e15},
           Case{"2E", 2e18},
           Case{"1Ki", 1024},
           Case{"64Mi", 67108864},
           Case{"1Gi", 1073741824},
           Case{"1.5Gi", 1610612736},
           Case{"1Ti", 0x1p40},
           Case{"1Pi", 0x1p50},
           Case{"7Ei", 7 * 0x1p60},
           Case{"+.5Ki", 512},
           Case{"1e3", 1e3},
           Case{"1E3", 1e3},
           Case{"1e+3", 1e3},
           Case{"1E-3", 1e-3},
           Case{"12.5e2", 1250},
           Case{"1.e3", 1e3},
           Case{"9223372036854775807", 0x1p63},
           Case{"0.000000001", 1e-9},
       }) {
    EXPECT_EQ(parse_quantity(text), value) << text;
  }
}

TEST(Quantity, RejectsInvalidText) {
  for (const std::string_view text :
       {"",     "+",    "-",     ".",   "-.",   "Ki",    "m",    "e3",    ".e3",     "--1",
        "+-1",  "-+1",  " 1",    "1 ",  "1 Gi", "1,5",   "1..5", "1.5.5", "1e",      "1e+",
        "1e-",  "1e3m", "1e3Ki", "1ki", "1mi",  "1i",    "1K",   "1g",    "1GiB",    "1B",
        "0x10", "inf",  "nan",   "1_0", "1\n",  "1e1e1", "1+1",  "1m+",   "infinity"}) {
    EXPECT_EQ(parse_quantity(text), std::nullopt) << text;
  }
  EXPECT_EQ(parse_quantity(std::string_view("1\0", 2)), std::nullopt);
  EXPECT_EQ(parse_quantity("\xc2\xb5"), std::nullopt);
}

TEST(Quantity, ReadsManyDigits) {
  EXPECT_EQ(parse_quantity(std::string(300, '0') + "12Ki"), 12288);
  EXPECT_EQ(parse_quantity("1." + std::string(100'000, '0') + "m"), 0.001);
  const auto large = parse_quantity('1' + std::string(300, '0'));
  ASSERT_TRUE(large);
  EXPECT_EQ(*large, 1e300);
}

TEST(Quantity, RejectsValuesOutsideTheRangeOfADouble) {
  EXPECT_EQ(parse_quantity(std::string(100'000, '9')), std::nullopt);
  EXPECT_EQ(parse_quantity('1' + std::string(300, '0') + "Ei"), std::nullopt);
  for (const std::string_view text : {"1e309", "-1e309", "1e-400", "1e99999999999999999999"}) {
    EXPECT_EQ(parse_quantity(text), std::nullopt) << text;
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
