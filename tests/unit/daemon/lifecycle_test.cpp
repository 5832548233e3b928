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
    return {.stop = [this, name] { told += name + ' '; },
            .idle = [&is_idle] { return is_idle; },
            .max_wait = max_wait};
  }
  // Until the lifecycle ends the loop.
  test::Clock::duration run() {
    const auto began = test::Clock::now();
    loop.run();
    return test::Clock::now() - began;
  }

  boost::asio::io_context loop{1};
  net::TimerWheel wheel{loop};
  std::string told;
  bool idle = true;
  bool busy = false;  // never idle
  Lifecycle::Events events{
      .tick = [this] { told += "tick "; },
      .reload = [this] { told += "reload "; },
      .stopping = [this](std::string_view signal) { (told += signal) += ' '; }};
};

TEST_F(LifecycleTest, StopsItsOwnersInOrder) {
  Lifecycle lifecycle(loop, wheel, events, {owner("first", idle), owner("second", idle)});
  lifecycle.start();
  EXPECT_FALSE(lifecycle.stopping());
  kill(getpid(), SIGHUP);
  ASSERT_TRUE(test::run_until(loop, [&] { return told == "reload "; }));
  kill(getpid(), SIGTERM);
  loop.restart();
  run();
  EXPECT_EQ(told, "reload SIGTERM first second ");
  EXPECT_TRUE(lifecycle.stopping());
  EXPECT_TRUE(lifecycle.idle());
}

TEST_F(LifecycleTest, WaitsForAnOwnerAsLongAsItMay) {
  Lifecycle lifecycle(loop, wheel, events,
                      {owner("patient", idle, 1h), owner("second", idle), owner("third", idle)});
  idle = false;
  lifecycle.start();
  kill(getpid(), SIGINT);
  ASSERT_TRUE(test::run_until(loop, [&] { return told == "SIGINT patient "; }));
  test::run_for(loop, 100ms);
  EXPECT_EQ(told, "SIGINT patient ");
  idle = true;
  loop.restart();
  run();
  EXPECT_EQ(told, "SIGINT patient second third ");
}

TEST_F(LifecycleTest, GoesOnWithoutAnOwnerThatHangs) {
  Lifecycle lifecycle(loop, wheel, events, {owner("hangs", busy, 50ms), owner("second", idle)},
                      kMaxShutdown);
  lifecycle.start();
  kill(getpid(), SIGTERM);
  const auto took = run();
  EXPECT_EQ(told, "SIGTERM hangs second ");
  EXPECT_GE(took, kMaxShutdown);
  EXPECT_LT(took, kMaxShutdown + 5s);
  EXPECT_FALSE(lifecycle.idle());
}

}  // namespace
}  // namespace vitalsd
