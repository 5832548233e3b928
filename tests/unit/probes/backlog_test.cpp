#include "probes/backlog.hpp"

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

TEST(Backlog, IsTheAgeUntilARunHasSeenNothingWait) {
  Backlog backlog;
  const Backlog::Clock::time_point start{};
  EXPECT_EQ(backlog.update(start, true, 5000), 5000);
  EXPECT_EQ(backlog.update(start + 10s, true, 5010), 5010);
}

TEST(Backlog, StartsWhenNothingWaited) {
  Backlog backlog;
  const Backlog::Clock::time_point start{};
  EXPECT_EQ(backlog.update(start, false, 5000), 0);
  EXPECT_EQ(backlog.update(start + 10s, true, 5010), 10);
  EXPECT_EQ(backlog.update(start + 20s, true, 5020), 20);
  EXPECT_EQ(backlog.update(start + 30s, true, 4), 4);  // something was stored, and more waits
  EXPECT_EQ(backlog.update(start + 40s, false, 14), 0);
  EXPECT_EQ(backlog.update(start + 50s, true, 24), 10);
}

TEST(Backlog, IsNotNegative) {
  Backlog backlog;
  EXPECT_EQ(backlog.update({}, true, -3), 0);
}

}  // namespace
}  // namespace vitalsd
