#include "probes/kubernetes/kubelet/pace.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;

const Pace::Clock::time_point kStart = Pace::Clock::time_point() + 1h;

TEST(Pace, StartsAllAtOnceWithinConcurrency) {
  for (const std::size_t kubelets : {1, 8}) {
    const Pace pace(kStart, 10s, kubelets, 8);
    EXPECT_EQ(pace.due(kubelets - 1), kStart);
    EXPECT_EQ(pace.limit(kubelets - 1, kStart), 9s);
  }
}

TEST(Pace, SpreadsStartsOverHalfOfTheRun) {
  const Pace pace(kStart, 10s, 100, 8);
  EXPECT_EQ(pace.due(0), kStart);
  EXPECT_EQ(pace.due(50), kStart + 2500ms);
  EXPECT_EQ(pace.due(99), kStart + 4950ms);
  // Thirteen rows in the other half have a third of a second each. A busy kubelet may need more.
  EXPECT_EQ(pace.limit(99, pace.due(99)), 3s);
  EXPECT_EQ(Pace(kStart, 1s, 100, 8).limit(0, kStart), 400ms);
  EXPECT_EQ(Pace(kStart, 10s, 9, 8).limit(0, kStart), 3s);
  EXPECT_EQ(Pace(kStart, 60s, 9, 8).limit(0, kStart), 13'500ms);
}

TEST(Pace, ShortensLimitOfLateQueries) {
  const Pace pace(kStart, 10s, 100, 10);
  EXPECT_EQ(pace.limit(20, pace.due(20) + 1s), 3s);
  // Five seconds for eight rows of two requests.
  EXPECT_EQ(pace.limit(20, kStart + 4s), 312ms);
  EXPECT_EQ(pace.limit(90, kStart + 8s), 500ms);
  // Past the end of the run each query still has a minimum.
  EXPECT_EQ(pace.limit(20, kStart + 9s), 200ms);
  EXPECT_EQ(pace.limit(99, kStart + 20s), 200ms);
}

TEST(Pace, ReachesLastKubeletIfAllHang) {
  const Pace pace(kStart, 10s, 64, 8);
  auto now = kStart;
  for (std::size_t index = 0; index < 64; index += 8) {
    now = std::max(now, pace.due(index)) + 2 * pace.limit(index, now);
  }
  EXPECT_LE(now, kStart + 10s);
}

TEST(Pace, LimitIsPositiveForAnyRunLength) {
  for (const config::Duration whole : std::vector<config::Duration>{1ms, 40ms, 1s, 10min, 24h}) {
    for (const std::size_t kubelets : {1, 2, 1000}) {
      const Pace pace(kStart, whole, kubelets, 1);
      for (const config::Duration late : std::vector<config::Duration>{0ms, 1ms, 30s, 1h}) {
        const config::Duration limit = pace.limit(kubelets - 1, pace.due(kubelets - 1) + late);
        // The HTTP client takes 0 as no limit.
        EXPECT_GE(limit, 1ms) << whole.count();
        EXPECT_LE(limit, std::max<config::Duration>(whole, 100ms));
      }
    }
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
