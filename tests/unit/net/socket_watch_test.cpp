#include "probes/net/socket_watch.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

#include "unit/support/loop.hpp"
#include <boost/asio/io_context.hpp>
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/socket.h>
#include <unistd.h>

namespace vitalsd::net {
namespace {

using namespace std::chrono_literals;
using Event = SocketWatch::Event;

class SocketWatchTest : public testing::Test {
 public:
  ~SocketWatchTest() override {
    watch_.reset();
    test::settle(loop_);  // cancelled waits complete before their socket is closed
    for (const int end : ends_) close(end);
  }

 protected:
  SocketWatchTest() {
    EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends_.data()), 0);
    watch_.emplace(loop_, [this](int ready_socket, Event event) {
      EXPECT_EQ(ready_socket, socket());
      ++(event == Event::readable ? readable_ : writable_);
      if (act_) act_();
    });
  }
  [[nodiscard]] int socket() const { return ends_[0]; }
  void peer_sends(std::string_view bytes) const {
    ASSERT_EQ(write(ends_[1], bytes.data(), bytes.size()), std::ssize(bytes));
  }
  std::string read_all() const {
    std::array<char, 64> bytes{};
    const ssize_t size = read(socket(), bytes.data(), bytes.size());
    return {bytes.data(), static_cast<std::size_t>(size > 0 ? size : 0)};
  }
  [[nodiscard]] bool is_open() const { return fcntl(socket(), F_GETFD) != -1; }

  boost::asio::io_context loop_{1};
  std::array<int, 2> ends_{};
  std::function<void()> act_;  // called for each event
  std::optional<SocketWatch> watch_;
  int readable_ = 0;
  int writable_ = 0;
};

TEST_F(SocketWatchTest, ReportsRequestedEventsOnly) {
  peer_sends("x");
  act_ = [this] { watch_->set(socket(), false, false); };
  watch_->set(socket(), true, false);
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 1; }));
  EXPECT_EQ(writable_, 0);
  watch_->set(socket(), false, true);
  EXPECT_TRUE(test::run_until(loop_, [this] { return writable_ == 1; }));
  EXPECT_EQ(readable_, 1);
}

TEST_F(SocketWatchTest, ReportsAgainWhileUnreadDataRemains) {
  peer_sends("x");
  act_ = [this] {
    if (readable_ == 3) read_all();
  };
  watch_->set(socket(), true, false);
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 3; }));
  test::settle(loop_);
  EXPECT_EQ(readable_, 3);
  peer_sends("y");
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 4; }));
}

TEST_F(SocketWatchTest, ReportsAClosedConnectionAsReadable) {
  act_ = [this] { watch_->set(socket(), false, false); };
  watch_->set(socket(), true, false);
  shutdown(ends_[1], SHUT_WR);
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 1; }));
}

TEST_F(SocketWatchTest, ReleasesASocketWithoutClosingIt) {
  watch_->set(socket(), true, true);
  EXPECT_TRUE(watch_->watches(socket()));
  watch_->set(socket(), false, false);
  EXPECT_FALSE(watch_->watches(socket()));
  peer_sends("x");
  test::settle(loop_);
  EXPECT_EQ(readable_ + writable_, 0);
  EXPECT_TRUE(is_open());
  EXPECT_EQ(read_all(), "x");
}

TEST_F(SocketWatchTest, CanReleaseASocketTwice) {
  watch_->set(socket(), false, false);
  watch_->set(socket(), true, false);
  watch_->set(socket(), false, false);
  watch_->set(socket(), false, false);
  test::settle(loop_);
  EXPECT_TRUE(is_open());
}

TEST_F(SocketWatchTest, CanWatchAReleasedSocketAgain) {
  watch_->set(socket(), true, false);
  watch_->set(socket(), false, false);
  watch_->set(socket(), true, false);
  act_ = [this] { read_all(); };
  peer_sends("x");
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 1; }));
  test::settle(loop_);
  EXPECT_EQ(readable_, 1);  // the wait before the release reports nothing
}

TEST_F(SocketWatchTest, ReleasesSocketsWhenDestroyed) {
  watch_->set(socket(), true, true);
  watch_.reset();
  test::settle(loop_);
  EXPECT_EQ(readable_ + writable_, 0);
  EXPECT_TRUE(is_open());
}

TEST_F(SocketWatchTest, DelaysReadingAfterSmallReads) {
  test::Clock::time_point reported;
  act_ = [&] {
    read_all();
    reported = test::Clock::now();
    watch_->delay_reading(socket(), 1);
  };
  watch_->set(socket(), true, false);
  peer_sends("a");
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 1; }));
  for (const auto delay : {1ms, 2ms, 4ms, 8ms}) {
    const int before = readable_;
    const auto until = reported + delay;
    peer_sends("b");
    test::settle(loop_);
    if (test::Clock::now() < until) {
      EXPECT_EQ(readable_, before) << delay.count();
    }
    EXPECT_TRUE(test::run_until(loop_, [&] { return readable_ > before; }));
    EXPECT_GE(reported, until);
  }
}

TEST_F(SocketWatchTest, DoesNotReportAReleasedSocketAfterTheDelay) {
  act_ = [this] {
    read_all();
    watch_->delay_reading(socket(), 1);
    watch_->set(socket(), false, false);
  };
  watch_->set(socket(), true, false);
  peer_sends("a");
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 1; }));
  peer_sends("b");
  test::run_for(loop_, 5ms);
  EXPECT_EQ(readable_, 1);
  EXPECT_TRUE(is_open());
}

TEST_F(SocketWatchTest, EndsTheDelayWhenWritingIsRequested) {
  act_ = [this] {
    read_all();
    if (writable_ == 0) {
      watch_->delay_reading(socket(), 1);
    } else {
      watch_->set(socket(), true, false);
    }
  };
  watch_->set(socket(), true, false);
  peer_sends("a");
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 1; }));
  watch_->set(socket(), true, true);
  EXPECT_TRUE(test::run_until(loop_, [this] { return writable_ == 1; }));
  peer_sends("b");
  EXPECT_TRUE(test::run_until(loop_, [this] { return readable_ == 2; }));
}

}  // namespace
}  // namespace vitalsd::net
