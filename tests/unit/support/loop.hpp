// Turning an io_context until something has come about. Nothing sleeps to wait.
#pragma once

#include <algorithm>
#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <stdexcept>
#include <utility>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>

namespace vitalsd::test {

namespace asio = boost::asio;
using Clock = std::chrono::steady_clock;

/// More than enough for whatever should come about at all.
inline constexpr std::chrono::seconds kPatience{10};

/// Turns `loop` until `condition` holds; false if it does not within `patience`.
template <class Condition>
bool run_until(asio::io_context& loop, const Condition& condition,
               Clock::duration patience = kPatience) {
  const auto deadline = Clock::now() + patience;
  while (!condition()) {
    if (Clock::now() >= deadline) return false;
    loop.restart();
    loop.run_one_until(std::min(deadline, Clock::now() + std::chrono::milliseconds(5)));
  }
  return true;
}

/// Does all that can be done now.
inline void settle(asio::io_context& loop) {
  loop.restart();
  loop.poll();
}

/// Turns `loop` for a while in which nothing (more) should happen.
inline void run_for(asio::io_context& loop, Clock::duration time) {
  loop.restart();
  loop.run_for(time);
}

/// Does `action` as a handler of the loop, as all that cancels has to be done: Asio would else post
/// the cancellation, with a pointer to a signal that may be gone by then.
template <class Action>
void on_loop(asio::io_context& loop, Action&& action) {
  asio::post(loop, std::forward<Action>(action));
  settle(loop);
}

/// A coroutine under way: its result once it is over, and the means to cancel it.
template <class T>
class Task {
 public:
  Task(asio::io_context& loop, asio::awaitable<T> work) : loop_(loop) {
    asio::co_spawn(
        loop, std::move(work),
        asio::bind_cancellation_slot(state_->cancel.slot(),
                                     [state = state_](const std::exception_ptr& error, T value) {
                                       ++state->completions;
                                       if (error)
                                         state->error = error;
                                       else
                                         state->value = std::move(value);
                                     }));
  }

  void cancel() {
    on_loop(loop_, [this] { cancel_on_loop(); });
  }
  /// For handlers of the loop.
  void cancel_on_loop() { state_->cancel.emit(asio::cancellation_type::terminal); }
  [[nodiscard]] bool done() const { return state_->completions > 0; }
  [[nodiscard]] int completions() const { return state_->completions; }

  /// Waits for the end; the result, or what was thrown.
  T get() {
    if (!run_until(loop_, [this] { return done(); })) throw std::runtime_error("does not end");
    if (state_->error) std::rethrow_exception(state_->error);
    return std::move(*state_->value);
  }

 private:
  struct State {
    asio::cancellation_signal cancel;
    int completions = 0;
    std::exception_ptr error;
    std::optional<T> value;
  };
  asio::io_context& loop_;
  std::shared_ptr<State> state_ = std::make_shared<State>();
};

template <class T>
Task(asio::io_context&, asio::awaitable<T>) -> Task<T>;

}  // namespace vitalsd::test
