#include "daemon/lifecycle.hpp"

#include <chrono>
#include <csignal>
#include <string>
#include <string_view>

#include "unit/support/loop.hpp"
#include <gtest/gtest.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

constexpr auto kMaxShutdown = 200ms;

class LifecycleTest : public testing::Test {
 protected:
  Lifecycle::Owner owner(const std::string& name, const bool& is_idle,
                         std::chrono::milliseconds max_wait = 0ms) {
    return {.stop = [this, name] { log += name + ' '; },
            .idle = [&is_idle] { return is_idle; },
            .max_wait = max_wait};
  }
  // Runs until the lifecycle ends the loop.
  test::Clock::duration run() {
    const auto start_time = test::Clock::now();
    loop.run();
    return test::Clock::now() - start_time;
  }

  boost::asio::io_context loop{1};
  net::TimerWheel wheel{loop};
  std::string log;
  bool idle = true;
  bool busy = false;  // never idle
  Lifecycle::Events events{.tick = [this] { log += "tick "; },
                           .reload = [this] { log += "reload "; },
                           .stopping = [this](std::string_view signal) { (log += signal) += ' '; }};
};

TEST_F(LifecycleTest, StopsOwnersInOrder) {
  Lifecycle lifecycle(loop, wheel, events, {owner("first", idle), owner("second", idle)});
  lifecycle.start();
  EXPECT_FALSE(lifecycle.stopping());
  kill(getpid(), SIGHUP);
  ASSERT_TRUE(test::run_until(loop, [&] { return log == "reload "; }));
  kill(getpid(), SIGTERM);
  loop.restart();
  run();
  EXPECT_EQ(log, "reload SIGTERM first second ");
  EXPECT_TRUE(lifecycle.stopping());
  EXPECT_TRUE(lifecycle.idle());
}

TEST_F(LifecycleTest, WaitsForAnOwnerUntilItIsIdle) {
  Lifecycle lifecycle(loop, wheel, events,
                      {owner("slow", idle, 1h), owner("second", idle), owner("third", idle)});
  idle = false;
  lifecycle.start();
  kill(getpid(), SIGINT);
  ASSERT_TRUE(test::run_until(loop, [&] { return log == "SIGINT slow "; }));
  test::run_for(loop, 100ms);
  EXPECT_EQ(log, "SIGINT slow ");
  idle = true;
  loop.restart();
  run();
  EXPECT_EQ(log, "SIGINT slow second third ");
}

TEST_F(LifecycleTest, EndsDespiteAHangingOwner) {
  Lifecycle lifecycle(loop, wheel, events, {owner("hangs", busy, 50ms), owner("second", idle)},
                      kMaxShutdown);
  lifecycle.start();
  kill(getpid(), SIGTERM);
  const auto duration = run();
  EXPECT_EQ(log, "SIGTERM hangs second ");
  EXPECT_GE(duration, kMaxShutdown);
  EXPECT_LT(duration, kMaxShutdown + 5s);
  EXPECT_FALSE(lifecycle.idle());
}

}  // namespace
}  // namespace vitalsd
