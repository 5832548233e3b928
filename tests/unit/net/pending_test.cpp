#include "probes/net/pending.hpp"

#include <memory>
#include <stdexcept>
#include <string>

#include "unit/support/loop.hpp"
#include <boost/asio/error.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

class PendingTest : public testing::Test {
 protected:
  // Waits until the test completes `pending`.
  asio::awaitable<int> wait() {
    return Pending<int>::wait([this](std::shared_ptr<Pending<int>> started) {
      started->on_cancel = [this] { ++cancellations; };
      pending = std::move(started);
    });
  }
  void turn() { test::settle(loop); }

  boost::asio::io_context loop{1};
  std::shared_ptr<Pending<int>> pending;
  int cancellations = 0;
};

TEST_F(PendingTest, ReturnsTheResult) {
  test::Task task(loop, wait());
  turn();
  EXPECT_FALSE(task.done());
  EXPECT_FALSE(pending->done());
  pending->succeed(7);
  EXPECT_TRUE(pending->done());
  EXPECT_EQ(task.get(), 7);
  EXPECT_EQ(cancellations, 0);
}

TEST_F(PendingTest, ThrowsTheError) {
  test::Task task(loop, wait());
  turn();
  pending->fail_with(std::out_of_range("too far"));
  EXPECT_THROW(task.get(), std::out_of_range);
}

TEST_F(PendingTest, CompletesOnce) {
  test::Task task(loop, wait());
  turn();
  pending->succeed(1);
  pending->succeed(2);
  pending->fail_with(std::runtime_error("too late"));
  EXPECT_EQ(task.get(), 1);
  turn();
  EXPECT_EQ(task.completions(), 1);
}

TEST_F(PendingTest, DoesNotResumeTheCallerDuringStart) {
  std::string order;
  const auto run = [&]() -> asio::awaitable<int> {
    const int value = co_await Pending<int>::wait([&](std::shared_ptr<Pending<int>> started) {
      started->succeed(3);
      order += "started,";
    });
    order += "resumed";
    co_return value;
  };
  EXPECT_EQ(test::Task(loop, run()).get(), 3);
  EXPECT_EQ(order, "started,resumed");
}

TEST_F(PendingTest, EndsAtOnceWhenCancelled) {
  test::Task task(loop, wait());
  turn();
  task.cancel();
  EXPECT_EQ(cancellations, 1);
  EXPECT_TRUE(pending->done());
  EXPECT_TRUE(task.done());
  pending->succeed(7);  // is discarded
  try {
    task.get();
    FAIL();
  } catch (const boost::system::system_error& e) {
    EXPECT_EQ(e.code(), boost::asio::error::operation_aborted);
  }
}

TEST_F(PendingTest, ReturnsAResultThatPrecedesTheCancellation) {
  test::Task task(loop, wait());
  turn();
  test::on_loop(loop, [&] {
    pending->succeed(7);
    task.cancel_on_loop();  // before the result has been delivered
  });
  EXPECT_EQ(cancellations, 0);
  EXPECT_EQ(task.get(), 7);
}

TEST_F(PendingTest, CanBeCancelledTwice) {
  test::Task task(loop, wait());
  turn();
  task.cancel();
  task.cancel();
  EXPECT_EQ(cancellations, 1);
  EXPECT_THROW(task.get(), boost::system::system_error);
}

}  // namespace
}  // namespace vitalsd::net
