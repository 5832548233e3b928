#include "probes/kubernetes/kubelet/counter_ratio.hpp"

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;

const CounterRatio::Clock::time_point kStart = CounterRatio::Clock::time_point() + 1h;

TEST(CounterRatio, IsEmptyBeforeEndOfFirstWindow) {
  CounterRatio ratio;
  EXPECT_EQ(ratio.value(), std::nullopt);
  ratio.update(kStart, 1000, 5000);
  ratio.update(kStart + 59s, 1050, 5100);
  EXPECT_EQ(ratio.value(), std::nullopt);
  ratio.update(kStart + 60s, 1050, 5200);
  EXPECT_EQ(ratio.value(), 0.25);
}

TEST(CounterRatio, KeepsValueUntilEndOfNextWindow) {
  CounterRatio ratio;
  ratio.update(kStart, 0, 0);
  ratio.update(kStart + 60s, 30, 60);
  ratio.update(kStart + 100s, 70, 100);
  EXPECT_EQ(ratio.value(), 0.5);
  ratio.update(kStart + 120s, 75, 120);
  EXPECT_EQ(ratio.value(), 0.75);
}

TEST(CounterRatio, IsZeroIfCountersDoNotGrow) {
  CounterRatio ratio;
  ratio.update(kStart, 10, 20);
  ratio.update(kStart + 60s, 10, 20);
  EXPECT_EQ(ratio.value(), 0);
}

TEST(CounterRatio, RestartsWhenACounterDecreases) {
  for (const auto& [part, whole] : {std::pair(5, 300), std::pair(150, 30), std::pair(0, 0)}) {
    CounterRatio ratio;
    ratio.update(kStart, 100, 200);
    ratio.update(kStart + 60s, 120, 240);
    EXPECT_EQ(ratio.value(), 0.5);
    ratio.update(kStart + 61s, part, whole);
    EXPECT_EQ(ratio.value(), std::nullopt);
    ratio.update(kStart + 121s, part + 10, whole + 40);
    EXPECT_EQ(ratio.value(), 0.25);
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
