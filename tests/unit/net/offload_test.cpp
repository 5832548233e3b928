#include "probes/net/offload.hpp"

#include "probes/error.hpp"

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <future>
#include <memory>
#include <mutex>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "unit/support/loop.hpp"
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/system/system_error.hpp>
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

// Simulates an unreachable mount: look() blocks until recover() is called.
class Mount {
 public:
  int look() {
    std::unique_lock lock(mutex_);
    ++inside_;
    changed_.wait(lock, [&] { return recovered_; });
    --inside_;
    changed_.notify_all();
    return 42;
  }
  bool wait_until_left() {
    std::unique_lock lock(mutex_);
    return changed_.wait_for(lock, test::kTimeLimit, [&] { return inside_ == 0; });
  }
  void recover() {
    const std::lock_guard lock(mutex_);
    recovered_ = true;
    changed_.notify_all();
  }

 private:
  std::mutex mutex_;
  std::condition_variable changed_;
  int inside_ = 0;
  bool recovered_ = false;
};

class OffloadTest : public testing::Test {
 protected:
  // Few, because an abandoned thread gets little CPU time on a busy machine.
  static constexpr std::size_t kMaxThreads = 3;
  static constexpr std::size_t kMaxHanging = 5;

  ~OffloadTest() override { mount->recover(); }

  test::Task<int> look(const std::string& resource) {
    const auto work = [mount = mount](const StopFlag&) { return mount->look(); };
    return {loop, offload->run(resource, work)};
  }
  // Starts work that hangs, and abandons it.
  void hang(const std::string& resource) {
    auto task = look(resource);
    ASSERT_TRUE(wait_until_busy(++hung));
    task.cancel();
    EXPECT_THROW(task.get(), boost::system::system_error);
  }
  std::optional<Reason> refusal_of(test::Task<int> task) {
    try {
      task.get();
    } catch (const ProbeError& e) {
      return e.reason();
    }
    return std::nullopt;
  }
  bool wait_until_busy(std::size_t threads) {
    return test::run_until(loop, [&] { return offload->busy() == threads; });
  }
  // An abandoned thread gets little CPU time on a busy machine, so this may take long.
  bool wait_until_none_hangs() {
    constexpr auto kLong = std::chrono::minutes(1);
    return test::run_until(loop, [&] { return offload->hanging() == 0; }, kLong);
  }

  boost::asio::io_context loop{1};
  // Without the guard, a test that waits for a thread would spin on an empty loop and use the CPU
  // that the thread needs.
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard{
      loop.get_executor()};
  std::optional<Offload> offload{std::in_place, loop, kMaxThreads, kMaxHanging};
  std::shared_ptr<Mount> mount = std::make_shared<Mount>();
  std::size_t hung = 0;
};

TEST_F(OffloadTest, ReturnsTheResultFromAnotherThread) {
  const auto work = [](const StopFlag& stop) {
    EXPECT_FALSE(stop.stopped());
    return std::this_thread::get_id();
  };
  EXPECT_NE(test::Task(loop, offload->run("x", work)).get(), std::this_thread::get_id());
}

TEST_F(OffloadTest, RethrowsTheExceptionOfTheWork) {
  const auto work = [](const StopFlag&) -> int { throw std::out_of_range("too far"); };
  EXPECT_THROW(test::Task(loop, offload->run("x", work)).get(), std::out_of_range);
}

TEST_F(OffloadTest, ReturnsAtOnceWhenCancelledEvenIfTheThreadHangs) {
  hang("/mnt");
  EXPECT_EQ(offload->hanging(), 1U);
  mount->recover();
  EXPECT_TRUE(wait_until_none_hangs());
}

TEST_F(OffloadTest, SetsTheStopFlagWhenCancelled) {
  const auto stopped_in_time = std::make_shared<std::promise<bool>>();
  auto answer = stopped_in_time->get_future();
  const auto work = [stopped_in_time](const StopFlag& stop) {
    const auto deadline = test::Clock::now() + test::kTimeLimit;
    while (!stop.stopped() && test::Clock::now() < deadline) std::this_thread::yield();
    stopped_in_time->set_value(stop.stopped());
    return 0;
  };
  test::Task task(loop, offload->run("x", work));
  ASSERT_TRUE(wait_until_busy(1));
  task.cancel();
  EXPECT_THROW(task.get(), boost::system::system_error);
  EXPECT_TRUE(answer.get());
}

TEST_F(OffloadTest, RejectsWorkForAHangingResourceOnly) {
  hang("/mnt/a");
  EXPECT_EQ(refusal_of(look("/mnt/a")), Reason::timeout);
  const auto work = [](const StopFlag&) { return 1; };
  EXPECT_EQ(test::Task(loop, offload->run("/mnt/b", work)).get(), 1);

  mount->recover();
  EXPECT_TRUE(wait_until_none_hangs());
  EXPECT_EQ(look("/mnt/a").get(), 42);
}

TEST_F(OffloadTest, RejectsWorkForTheConfiguredReason) {
  offload.emplace(loop, kMaxThreads, kMaxHanging, std::chrono::milliseconds(0), Reason::internal);
  hang("/mnt/a");
  EXPECT_EQ(refusal_of(look("/mnt/a")), Reason::internal);
}

TEST_F(OffloadTest, AcceptsWorkForAResourceInUse) {
  auto first = look("/mnt");
  auto second = look("/mnt");
  ASSERT_TRUE(wait_until_busy(2));
  EXPECT_EQ(offload->hanging(), 0U);
  mount->recover();
  EXPECT_EQ(first.get(), 42);
  EXPECT_EQ(second.get(), 42);
}

TEST_F(OffloadTest, UsesAdditionalThreadsWhenThreadsHang) {
  const auto work = [](const StopFlag&) { return 1; };
  for (std::size_t i = 0; i < kMaxThreads; ++i) hang(std::to_string(i));
  EXPECT_EQ(test::Task(loop, offload->run("another", work)).get(), 1);
}

TEST_F(OffloadTest, ReplacesAnAbandonedThreadIfWorkIsQueued) {
  std::vector<test::Task<int>> hanging;
  for (std::size_t i = 0; i < kMaxThreads; ++i) hanging.push_back(look(std::to_string(i)));
  ASSERT_TRUE(wait_until_busy(kMaxThreads));
  const auto work = [](const StopFlag&) { return 1; };
  test::Task waiting(loop, offload->run("another", work));
  hanging.front().cancel();
  EXPECT_EQ(waiting.get(), 1);
  EXPECT_THROW(hanging.front().get(), boost::system::system_error);
  // All tasks complete before the loop is destroyed.
  mount->recover();
  for (std::size_t i = 1; i < hanging.size(); ++i) EXPECT_EQ(hanging[i].get(), 42);
}

TEST_F(OffloadTest, RejectsWorkWhileTooManyThreadsHang) {
  for (std::size_t i = 0; i < kMaxHanging; ++i) hang(std::to_string(i));
  EXPECT_EQ(offload->hanging(), kMaxHanging);
  EXPECT_EQ(refusal_of(look("another")), Reason::internal);

  mount->recover();
  EXPECT_TRUE(wait_until_none_hangs());
  const auto work = [](const StopFlag&) { return 1; };
  EXPECT_EQ(test::Task(loop, offload->run("another", work)).get(), 1);
}

TEST_F(OffloadTest, QueuesWorkIfAllThreadsAreBusy) {
  std::vector<test::Task<int>> tasks;
  for (std::size_t i = 0; i < kMaxThreads + 3; ++i) {
    tasks.push_back(look(std::to_string(i)));
  }
  ASSERT_TRUE(wait_until_busy(kMaxThreads));
  tasks.back().cancel();  // it is in the queue, so it is removed without running
  EXPECT_THROW(tasks.back().get(), boost::system::system_error);
  EXPECT_EQ(offload->hanging(), 0U);
  tasks.pop_back();
  mount->recover();
  for (auto& task : tasks) EXPECT_EQ(task.get(), 42);
}

// Four PostgreSQL servers that compute for ever must not make other targets fail by timeout.
TEST_F(OffloadTest, RejectsQueuedWorkIfNoThreadReturns) {
  offload.emplace(loop, kMaxThreads, kMaxHanging, std::chrono::milliseconds(100));
  std::vector<test::Task<int>> computing;
  for (std::size_t i = 0; i < kMaxThreads; ++i) computing.push_back(look(std::to_string(i)));
  ASSERT_TRUE(wait_until_busy(kMaxThreads));
  EXPECT_EQ(refusal_of(look("another")), Reason::internal);
  EXPECT_EQ(refusal_of(look("yet another")), Reason::internal);
  mount->recover();
  for (auto& task : computing) EXPECT_EQ(task.get(), 42);
  EXPECT_EQ(look("another").get(), 42);
}

TEST_F(OffloadTest, DoesNotRejectQueuedWorkWhileThreadsReturn) {
  offload.emplace(loop, 1, kMaxHanging, std::chrono::milliseconds(100));
  const auto work = [](const StopFlag&) {
    std::this_thread::sleep_for(std::chrono::milliseconds(20));  // the work itself
    return 1;
  };
  std::vector<test::Task<int>> tasks;
  for (int i = 0; i < 15; ++i) tasks.emplace_back(loop, offload->run("x", work));
  for (auto& task : tasks) EXPECT_EQ(task.get(), 1);
}

// The thread must not destroy the coroutine.
TEST_F(OffloadTest, DestroysWaitingCoroutines) {
  const auto alive = std::make_shared<int>();
  const auto wait = [](Offload& on, std::shared_ptr<Mount> mount,
                       std::shared_ptr<int> held) -> boost::asio::awaitable<int> {
    co_return co_await on.run("/mnt", [mount](const StopFlag&) { return mount->look(); });
  };
  {
    const test::Task task(loop, wait(*offload, mount, alive));
    ASSERT_TRUE(wait_until_busy(1));
  }
  EXPECT_EQ(alive.use_count(), 2);
  offload.reset();
  test::settle(loop);
  EXPECT_EQ(alive.use_count(), 1);
  mount->recover();
  EXPECT_TRUE(mount->wait_until_left());
}

TEST_F(OffloadTest, CanBeDestroyedBeforeAHangingThreadReturns) {
  hang("/mnt");
  offload.reset();
  mount->recover();
  EXPECT_TRUE(mount->wait_until_left());
}

}  // namespace
}  // namespace vitalsd::net
