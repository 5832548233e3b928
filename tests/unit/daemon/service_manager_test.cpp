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
  Variable socket_path{"NOTIFY_SOCKET", path};
  Variable watchdog{"WATCHDOG_USEC", std::nullopt};
  Variable watchdog_process{"WATCHDOG_PID", std::nullopt};
};

TEST_F(ServiceManagerTest, SendsTheStateOfTheService) {
  ServiceManager manager(wheel);
  EXPECT_EQ(socket.poll(), std::nullopt);
  manager.ready("Serves on 127.0.0.1:9747");
  EXPECT_EQ(socket.poll(), "READY=1\nSTATUS=Serves on 127.0.0.1:9747");
  manager.stopping();
  EXPECT_EQ(socket.poll(), "STOPPING=1\nSTATUS=Waiting for runs to end");
}

TEST_F(ServiceManagerTest, KeepsTheStatusOnOneLine) {
  ServiceManager manager(wheel);
  manager.ready("bad.yaml:1\nMAINPID=1\n");  // an assignment, if it were a line
  EXPECT_EQ(socket.poll(), "READY=1\nSTATUS=bad.yaml:1 MAINPID=1 ");
}

// sd_notify(3): the time distinguishes READY=1 after the reload from an earlier one.
TEST_F(ServiceManagerTest, SendsTheStartTimeOfAReload) {
  ServiceManager manager(wheel);
  const auto now = [] {
    return std::chrono::duration_cast<std::chrono::microseconds>(
               test::Clock::now().time_since_epoch())
        .count();
  };
  const auto before = now();
  manager.reloading();
  const auto after = now();
  const std::string message = socket.poll().value_or("");
  const std::string front = "RELOADING=1\nMONOTONIC_USEC=";
  ASSERT_TRUE(message.starts_with(front)) << message;
  const auto time = std::stoll(message.substr(front.size()));
  EXPECT_LE(before, time);
  EXPECT_LE(time, after);
}

TEST_F(ServiceManagerTest, SupportsTheAbstractNamespace) {
  const std::string name = "@vitalsd-test" + path;  // as unique as the directory
  test::NotifySocket abstract(name);
  const Variable socket_name("NOTIFY_SOCKET", name);
  ServiceManager(wheel).stopping();
  EXPECT_TRUE(abstract.poll());
  EXPECT_FALSE(socket.poll());
}

TEST_F(ServiceManagerTest, SendsNothingWithoutAManager) {
  for (const std::optional<std::string>& name :
       {std::optional<std::string>(), std::optional<std::string>(""),
        std::optional("/" + std::string(200, 'x')), std::optional(directory.path("missing"))}) {
    const Variable socket_name("NOTIFY_SOCKET", name);
    ServiceManager manager(wheel);
    manager.ready("");
    manager.stopping();
  }
  EXPECT_EQ(socket.poll(), std::nullopt);
}

TEST_F(ServiceManagerTest, NotifiesTheWatchdogAfterReady) {
  const Variable period("WATCHDOG_USEC", "50000");
  ServiceManager manager(wheel);
  test::run_for(loop, 60ms);
  EXPECT_EQ(socket.poll(), std::nullopt);
  manager.ready("");
  const auto began = test::Clock::now();
  EXPECT_TRUE(socket.poll().value_or("").starts_with("READY=1"));
  int beats = 0;
  EXPECT_TRUE(test::run_until(loop, [&] {
    if (const auto message = socket.poll()) {
      EXPECT_EQ(*message, "WATCHDOG=1");
      ++beats;
    }
    return beats == 3;
  }));
  EXPECT_GE(test::Clock::now() - began,
            50ms);  // the first immediately, then two at intervals of 25 ms
}

TEST_F(ServiceManagerTest, IgnoresTheWatchdogOfAnotherProcess) {
  const Variable period("WATCHDOG_USEC", "1000");
  const Variable process("WATCHDOG_PID", std::to_string(getpid() + 1));
  ServiceManager manager(wheel);
  manager.ready("");
  EXPECT_TRUE(socket.poll().value_or("").starts_with("READY=1"));
  test::run_for(loop, 60ms);
  EXPECT_EQ(socket.poll(), std::nullopt);
}

TEST_F(ServiceManagerTest, UsesTheWatchdogOfThisProcess) {
  const Variable period("WATCHDOG_USEC", "1000000");
  const Variable process("WATCHDOG_PID", std::to_string(getpid()));
  ServiceManager manager(wheel);
  manager.ready("");
  EXPECT_TRUE(socket.poll().value_or("").starts_with("READY=1"));
  EXPECT_EQ(socket.poll(), "WATCHDOG=1");
}

}  // namespace
}  // namespace vitalsd
