#include "probes/kubernetes/kubelet/share.hpp"

#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;

const Share::Clock::time_point kBegan = Share::Clock::time_point() + 1h;

TEST(Share, IsKnownAfterAWholeWindow) {
  Share share;
  EXPECT_EQ(share.share(), std::nullopt);
  share.see(kBegan, 1000, 5000);
  share.see(kBegan + 59s, 1050, 5100);
  EXPECT_EQ(share.share(), std::nullopt);
  share.see(kBegan + 60s, 1050, 5200);
  EXPECT_EQ(share.share(), 0.25);
}

TEST(Share, StaysUntilTheNextWindowIsOver) {
  Share share;
  share.see(kBegan, 0, 0);
  share.see(kBegan + 60s, 30, 60);
  share.see(kBegan + 100s, 70, 100);
  EXPECT_EQ(share.share(), 0.5);
  share.see(kBegan + 120s, 75, 120);
  EXPECT_EQ(share.share(), 0.75);
}

TEST(Share, OfWhatStandsStillIsNone) {
  Share share;
  share.see(kBegan, 10, 20);
  share.see(kBegan + 60s, 10, 20);
  EXPECT_EQ(share.share(), 0);
}

TEST(Share, AnotherInstanceBeginsAnew) {
  for (const auto& [part, whole] : {std::pair(5, 300), std::pair(150, 30), std::pair(0, 0)}) {
    Share share;
    share.see(kBegan, 100, 200);
    share.see(kBegan + 60s, 120, 240);
    EXPECT_EQ(share.share(), 0.5);
    share.see(kBegan + 61s, part, whole);
    EXPECT_EQ(share.share(), std::nullopt);
    share.see(kBegan + 121s, part + 10, whole + 40);
    EXPECT_EQ(share.share(), 0.25);
  }
}

}  // namespace
}  // namespace vitalsd::kubernetes
