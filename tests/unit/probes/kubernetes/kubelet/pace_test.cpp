#include "probes/kubernetes/kubelet/pace.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;

const Pace::Clock::time_point kBegan = Pace::Clock::time_point() + 1h;

TEST(Pace, AsksAtOnceThoseThatCanBe) {
  for (const std::size_t kubelets : {1, 8}) {
    const Pace pace(kBegan, 10s, kubelets, 8);
    EXPECT_EQ(pace.due(kubelets - 1), kBegan);
    EXPECT_EQ(pace.limit(kubelets - 1, kBegan), 9s);
  }
}

TEST(Pace, SpreadsMoreOverHalfOfTheTime) {
  const Pace pace(kBegan, 10s, 100, 8);
  EXPECT_EQ(pace.due(0), kBegan);
  EXPECT_EQ(pace.due(50), kBegan + 2500ms);
  EXPECT_EQ(pace.due(99), kBegan + 4950ms);
  // Thirteen rows in the other half are a third of a second each, which a busy kubelet may need.
  EXPECT_EQ(pace.limit(99, pace.due(99)), 3s);
  EXPECT_EQ(Pace(kBegan, 1s, 100, 8).limit(0, kBegan), 400ms);
  EXPECT_EQ(Pace(kBegan, 10s, 9, 8).limit(0, kBegan), 3s);
  EXPECT_EQ(Pace(kBegan, 60s, 9, 8).limit(0, kBegan), 13'500ms);
}

TEST(Pace, HasLessPatienceWhenItIsLate) {
  const Pace pace(kBegan, 10s, 100, 10);
  EXPECT_EQ(pace.limit(20, pace.due(20) + 1s), 3s);
  // Five seconds for eight rows of two requests.
  EXPECT_EQ(pace.limit(20, kBegan + 4s), 312ms);
  EXPECT_EQ(pace.limit(90, kBegan + 8s), 500ms);
  // There is no time left, and yet each has a little of it.
  EXPECT_EQ(pace.limit(20, kBegan + 9s), 200ms);
  EXPECT_EQ(pace.limit(99, kBegan + 20s), 200ms);
}

TEST(Pace, LeavesTimeForTheLastWhereAllHang) {
  const Pace pace(kBegan, 10s, 64, 8);
  auto now = kBegan;
  for (std::size_t index = 0; index < 64; index += 8) {
    now = std::max(now, pace.due(index)) + 2 * pace.limit(index, now);
  }
  EXPECT_LE(now, kBegan + 10s);
}

TEST(Pace, AnyTimeWillDo) {
  for (const config::Duration whole : std::vector<config::Duration>{1ms, 40ms, 1s, 10min, 24h}) {
    for (const std::size_t kubelets : {1, 2, 1000}) {
      const Pace pace(kBegan, whole, kubelets, 1);
      for (const config::Duration late : std::vector<config::Duration>{0ms, 1ms, 30s, 1h}) {
        const config::Duration limit = pace.limit(kubelets - 1, pace.due(kubelets - 1) + late);
        // None at all would mean no limit to the HTTP client.
        EXPECT_GE(limit, 1ms) << whole.count();
        EXPECT_LE(limit, std::max<config::Duration>(whole, 100ms));
      }
    }
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
