#include "daemon/service_manager.hpp"

#include <chrono>
#include <optional>
#include <string>

#include "unit/support/environment.hpp"
#include "unit/support/loop.hpp"
#include "unit/support/notify_socket.hpp"
#include "unit/support/temp_directory.hpp"
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>
#include <unistd.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::Variable;

class ServiceManagerTest : public testing::Test {
 protected:
  ~ServiceManagerTest() override { wheel.stop(); }

  test::TempDirectory directory;
  std::string path = directory.path("notify");
  test::NotifySocket socket{path};
  boost::asio::io_context loop{1};
  net::TimerWheel wheel{loop};
  Variable where{"NOTIFY_SOCKET", path};
  Variable watchdog{"WATCHDOG_USEC", std::nullopt};
  Variable watched{"WATCHDOG_PID", std::nullopt};
};

TEST_F(ServiceManagerTest, TellsWhatBecomesOfTheService) {
  ServiceManager manager(wheel);
  EXPECT_EQ(socket.poll(), std::nullopt);
  manager.ready("Serves on 127.0.0.1:9747");
  EXPECT_EQ(socket.poll(), "READY=1\nSTATUS=Serves on 127.0.0.1:9747");
  manager.stopping();
  EXPECT_EQ(socket.poll(), "STOPPING=1\nSTATUS=Waiting for runs to end");
}

TEST_F(ServiceManagerTest, KeepsAStatusInOneLine) {
  ServiceManager manager(wheel);
  manager.ready("bad.yaml:1\nMAINPID=1\n");  // which would be a word to the manager
  EXPECT_EQ(socket.poll(), "READY=1\nSTATUS=bad.yaml:1 MAINPID=1 ");
}

// sd_notify(3): the manager tells the reload's own "ready" from an older one by the time.
TEST_F(ServiceManagerTest, TellsWhenAReloadBegins) {
  ServiceManager manager(wheel);
  const auto now = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               test::Clock::now().time_since_epoch())
        .count();
  };
  const auto before = now();
  manager.reloading();
  const auto after = now();
  const std::string told = socket.poll().value_or("");
  const std::string front = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_TRUE(told.starts_with(front)) << told;
  const auto time = std::stoll(told.substr(front.size()));
  EXPECT_LE(before, time);
  EXPECT_LE(time, after);
}

TEST_F(ServiceManagerTest, SpeaksToASocketInTheAbstractNamespace) {
  const std::string name = "@vitalsd-test" + path;  // as unique as the directory
  test::NotifySocket abstract(name);
  const Variable there("NOTIFY_SOCKET", name);
  ServiceManager(wheel).stopping();
  EXPECT_TRUE(abstract.poll());
  EXPECT_FALSE(socket.poll());
}

TEST_F(ServiceManagerTest, TellsNobodyWhereThereIsNoManager) {
  for (const std::optional<std::string>& name :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional("/" + std::string(200, 'x')), std::optional(directory.path("nobody"))}) {
    const Variable there("NOTIFY_SOCKET", name);
    ServiceManager manager(wheel);
    manager.ready("");
    manager.stopping();
  }
  EXPECT_EQ(socket.poll(), std::nullopt);
}

TEST_F(ServiceManagerTest, FeedsTheWatchdogOnceItIsReady) {
  const Variable period("WATCHDOG_USEC", "50000");
  ServiceManager manager(wheel);
  test::run_for(loop, 60ms);
  EXPECT_EQ(socket.poll(), std::nullopt);
  manager.ready("");
  const auto began = test::Clock::now();
  EXPECT_TRUE(socket.poll().value_or("").starts_with("READY=1"));
  int beats = 0;
  EXPECT_TRUE(test::run_until(loop, [&] {
    if (const auto told = socket.poll()) {
      EXPECT_EQ(*told, "WATCHDOG=1");
      ++beats;
    }
    return beats == 3;
  }));
  EXPECT_GE(test::Clock::now() - began, 50ms);  // the first at once, then two, 25 ms apart
}

TEST_F(ServiceManagerTest, LeavesTheWatchdogOfAnotherProcessAlone) {
  const Variable period("WATCHDOG_USEC", "1000");
  const Variable whose("WATCHDOG_PID", std::to_string(getpid() + 1));
  ServiceManager manager(wheel);
  manager.ready("");
  EXPECT_TRUE(socket.poll().value_or("").starts_with("READY=1"));
  test::run_for(loop, 60ms);
  EXPECT_EQ(socket.poll(), std::nullopt);
}

TEST_F(ServiceManagerTest, KnowsTheWatchdogThatIsItsOwn) {
  const Variable period("WATCHDOG_USEC", "1000000");
  const Variable whose("WATCHDOG_PID", std::to_string(getpid()));
  ServiceManager manager(wheel);
  manager.ready("");
  EXPECT_TRUE(socket.poll().value_or("").starts_with("READY=1"));
  EXPECT_EQ(socket.poll(), "WATCHDOG=1");
}

}  // namespace
}  // namespace vitalsd
