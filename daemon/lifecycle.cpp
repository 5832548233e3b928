#include "daemon/lifecycle.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace vitalsd {

using namespace std::chrono_literals;

namespace {

constexpr auto kTick = 1s;

}  // namespace

Lifecycle::Lifecycle(boost::asio::io_context& loop, net::TimerWheel& wheel, Events events,
                     std::vector<Owner> owners, std::chrono::milliseconds max_shutdown)
    : loop_(loop),
      wheel_(wheel),
      events_(std::move(events)),
      owners_(std::move(owners)),
      max_shutdown_(max_shutdown),
      signals_(loop),
      tick_timer_([this] { tick(); }),
      stop_timer_([this] { stop_next(); }) {}

void Lifecycle::start() {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP}) signals_.add(signal);
  await_signal();
  wheel_.arm_after(tick_timer_, kTick);
}

bool Lifecycle::idle() const {
  return std::ranges::all_of(owners_, [](const Owner& owner) { return owner.idle(); });
}

void Lifecycle::await_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      events_.reload();
      await_signal();
    } else {
      stop(signal == SIGTERM ? "SIGTERM" : "SIGINT");
    }
  });
}

void Lifecycle::tick() {
  wheel_.arm_after(tick_timer_, kTick);
  events_.tick();
}

void Lifecycle::stop(std::string_view signal) {
  stopping_ = true;
  tick_timer_.disarm();
  events_.stopping(signal);
  end_by_ = Clock::now() + max_shutdown_;
  stop_next();
}

// Stops the owners whose predecessor is idle or has exceeded its time. Ends the loop when all
// owners are idle or the total time is over.
void Lifecycle::stop_next() {
  const Clock::time_point now = Clock::now();
  while (stopped_count_ < owners_.size()) {
    if (stopped_count_ > 0 && !owners_[stopped_count_ - 1].idle() && now < next_stop_by_) break;
    const Owner& owner = owners_[stopped_count_++];
    next_stop_by_ = now + owner.max_wait;
    owner.stop();
  }
  if ((stopped_count_ == owners_.size() && idle()) || now >= end_by_) {
    wheel_.stop();
    loop_.stop();
    return;
  }
  wheel_.arm_after(stop_timer_, net::TimerWheel::kSlot);
}

}  // namespace vitalsd
