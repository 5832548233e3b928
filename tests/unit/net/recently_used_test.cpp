#include "probes/net/recently_used.hpp"

#include <chrono>

#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

TEST(RecentlyUsedTest, KeepsValuesInUse) {
  RecentlyUsed<int> values;
  values["a"] = 1;
  values["b"] = 2;
  EXPECT_EQ(values["a"], 1);
  EXPECT_EQ(values["b"], 2);
  EXPECT_EQ(values["new"], 0);
  EXPECT_EQ(values.size(), 3U);
}

TEST(RecentlyUsedTest, ForgetsValuesThatAreNotUsed) {
  RecentlyUsed<int> values(std::chrono::seconds(0));
  for (int i = 0; i < 100; ++i) values[std::to_string(i)] = i;
  EXPECT_EQ(values.size(), 1U);
  EXPECT_EQ(values["99"], 0) << "forgotten, too";
}

}  // namespace
}  // namespace vitalsd::net
