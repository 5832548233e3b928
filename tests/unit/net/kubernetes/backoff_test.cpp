#include "probes/net/kubernetes/backoff.hpp"

#include <gtest/gtest.h>

namespace vitalsd::net::kubernetes {
namespace {

using namespace std::chrono_literals;

TEST(Backoff, DoublesUpToTheMaximum) {
  Backoff backoff(1s, 10s);
  for (const auto expected : {1s, 2s, 4s, 8s, 10s, 10s}) EXPECT_EQ(backoff.next(), expected);
}

TEST(Backoff, DoublesFourTimesAtMost) {
  Backoff backoff(1ms, 10s);
  for (int i = 0; i < 100; ++i) backoff.next();
  EXPECT_EQ(backoff.next(), 16ms);
}

TEST(Backoff, StartsAgainAfterASuccess) {
  Backoff backoff(1s, 10s);
  backoff.next();
  backoff.next();
  backoff.reset();
  EXPECT_EQ(backoff.next(), 1s);
}

TEST(Backoff, AppliesJitterToTheDelay) {
  Backoff backoff(1s, 10s);
  EXPECT_EQ(backoff.next(0.75), 750ms);
  EXPECT_EQ(backoff.next(1.25), 2500ms);
}

TEST(Backoff, WaitsAtLeastForRetryAfterUpToALimit) {
  Backoff backoff(1s, 10s);
  EXPECT_EQ(backoff.next(1.25, 5s), 5s);
  EXPECT_EQ(backoff.next(1.25, 1s), 2500ms);
  EXPECT_EQ(backoff.next(1, 3600s), Backoff::kMaxRetryAfter);
}

}  // namespace
}  // namespace vitalsd::net::kubernetes
