#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <vector>

#include "unit/support/loop.hpp"
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using Clock = TimerWheel::Clock;
constexpr auto kSlot = TimerWheel::kSlot;

class TimerWheelTest : public testing::Test {
 protected:
  void wait_for(const std::size_t& count, std::size_t expected) {
    ASSERT_TRUE(test::run_until(loop, [&] { return count >= expected; }));
    EXPECT_EQ(count, expected);
  }

  boost::asio::io_context loop{1};
  TimerWheel wheel{loop};
  std::size_t fired = 0;
};

TEST_F(TimerWheelTest, FiresOnceAndNeverEarly) {
  for (const auto delay : {0ms, 1ms, 24ms, 25ms, 26ms, 60ms}) {
    fired = 0;
    const auto due = Clock::now() + delay;
    Clock::time_point at;
    Timer timer([&] {
      ++fired;
      at = Clock::now();
    });
    wheel.arm(timer, due);
    EXPECT_TRUE(timer.armed());
    wait_for(fired, 1);
    EXPECT_GE(at, due);
    EXPECT_FALSE(timer.armed());
  }
  test::run_for(loop, 2 * kSlot);
  EXPECT_EQ(fired, 1U);
}

TEST_F(TimerWheelTest, FiresAnOverdueTimerInTheNextSlot) {
  Timer timer([&] { ++fired; });
  wheel.arm(timer, Clock::now() - 1h);
  wait_for(fired, 1);
}

TEST_F(TimerWheelTest, FiresInTheOrderOfSlotsAndThenOfArming) {
  std::vector<int> order;
  const auto start = Clock::now() + kSlot;
  Timer late([&] { order.push_back(3); });
  Timer first([&] { order.push_back(1); });
  Timer second([&] { order.push_back(2); });
  wheel.arm(late, start + 2 * kSlot);
  wheel.arm(first, start);
  wheel.arm(second, start);
  ASSERT_TRUE(test::run_until(loop, [&] { return order.size() == 3; }));
  EXPECT_EQ(order, (std::vector{1, 2, 3}));
}

TEST_F(TimerWheelTest, AcceptsAnEarlierTimerWhileItWaitsForALaterOne) {
  Timer late([] { FAIL(); });
  Timer early([&] { ++fired; });
  wheel.arm_after(late, 1h);
  test::run_for(loop, 1ms);
  wheel.arm_after(early, kSlot);
  wait_for(fired, 1);
}

TEST_F(TimerWheelTest, RearmsATimer) {
  Timer timer([&] { ++fired; });
  wheel.arm_after(timer, 0ms);
  wheel.arm_after(timer, 3 * kSlot);
  const auto before = Clock::now();
  wait_for(fired, 1);
  EXPECT_GE(Clock::now() - before, 2 * kSlot);
}

TEST_F(TimerWheelTest, AllowsATimerToRearmItself) {
  std::function<void()> again;
  Timer timer([&] { again(); });
  again = [&] {
    if (++fired < 3) wheel.arm_after(timer, 0ms);
  };
  wheel.arm_after(timer, 0ms);
  wait_for(fired, 3);
}

TEST_F(TimerWheelTest, AllowsATimerToDestroyItself) {
  std::unique_ptr<Timer> timer;
  const auto watched = std::make_shared<int>(7);
  timer = std::make_unique<Timer>([&, watched] {
    timer.reset();
    EXPECT_EQ(*watched, 7);  // the function stays valid until it returns
    ++fired;
  });
  wheel.arm_after(*timer, 0ms);
  wait_for(fired, 1);
  EXPECT_EQ(watched.use_count(), 1);
}

TEST_F(TimerWheelTest, AllowsATimerToDestroyOrDisarmOthers) {
  std::vector<std::unique_ptr<Timer>> timers;
  const auto due = Clock::now();  // all in one slot
  for (int i = 0; i < 6; ++i) {
    timers.push_back(std::make_unique<Timer>([&] {
      ++fired;
      timers[1].reset();    // the next one
      timers[5].reset();    // the last one
      timers[3]->disarm();  // one in between
      wheel.arm_after(*timers[4], 1h);
    }));
    wheel.arm(*timers.back(), due);
  }
  wait_for(fired, 2);  // the first and the third
  test::run_for(loop, 2 * kSlot);
  EXPECT_EQ(fired, 2U);
}

TEST_F(TimerWheelTest, DoesNotFireADisarmedOrDestroyedTimer) {
  Timer disarmed([] { FAIL(); });
  wheel.arm_after(disarmed, 0ms);
  disarmed.disarm();
  disarmed.disarm();
  {
    Timer destroyed([] { FAIL(); });
    wheel.arm_after(destroyed, 0ms);
  }
  Timer timer([&] { ++fired; });
  wheel.arm_after(timer, kSlot);
  wait_for(fired, 1);
}

TEST_F(TimerWheelTest, FiresNoTimerAfterStop) {
  Timer timer([] { FAIL(); });
  wheel.arm_after(timer, 0ms);
  wheel.stop();
  wheel.arm_after(timer, 0ms);
  test::run_for(loop, 3 * kSlot);
}

TEST_F(TimerWheelTest, CanBeDestroyedBeforeItsTimers) {
  Timer timer([] { FAIL(); });
  {
    TimerWheel short_lived(loop);
    short_lived.arm_after(timer, 0ms);
  }
  EXPECT_FALSE(timer.armed());
  test::run_for(loop, 2 * kSlot);
}

TEST_F(TimerWheelTest, AcceptsTimersBeyondOneTurn) {
  TimerWheel small(loop, 64);
  constexpr auto kTurn = 64 * kSlot;  // 1.6 s
  const auto start = Clock::now();
  Clock::time_point far_at;
  Timer far([&] {
    ++fired;
    far_at = Clock::now();
  });
  Timer near([&] { ++fired; });  // in the far one's slot, a turn earlier
  small.arm(far, start + kTurn + 2 * kSlot);
  small.arm(near, start + 2 * kSlot);
  wait_for(fired, 1);
  EXPECT_TRUE(far.armed());
  wait_for(fired, 2);
  EXPECT_GE(far_at, start + kTurn + 2 * kSlot);
}

TEST_F(TimerWheelTest, FiresAllDueTimersAfterTheLoopWasBlocked) {
  TimerWheel small(loop, 64);
  std::vector<std::unique_ptr<Timer>> timers;
  const auto start = Clock::now();
  for (int i = 0; i < 5; ++i) {
    timers.push_back(std::make_unique<Timer>([&] { ++fired; }));
    small.arm(*timers.back(), start + i * kSlot);
  }
  Timer busy([&] {
    while (Clock::now() < start + 6 * kSlot) {
    }
  });
  small.arm(busy, start);
  std::chrono::duration<double> lag{};
  small.on_lag = [&](Clock::duration late) {
    lag = std::max<std::chrono::duration<double>>(lag, late);
  };
  wait_for(fired, 5);
  EXPECT_GE(lag, kSlot);
}

}  // namespace
}  // namespace vitalsd::net
