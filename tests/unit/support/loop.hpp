// Runs an io_context until a condition holds. No function waits by sleeping.
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

/// The default time limit for a condition. It is much longer than any condition needs.
inline constexpr std::chrono::seconds kTimeLimit{10};

/// Runs `loop` until `condition` holds. Returns false if it does not hold within `time_limit`.
template <class Condition>
bool run_until(asio::io_context& loop, const Condition& condition,
               Clock::duration time_limit = kTimeLimit) {
  const auto deadline = Clock::now() + time_limit;
  while (!condition()) {
    if (Clock::now() >= deadline) return false;
    loop.restart();
    loop.run_one_until(std::min(deadline, Clock::now() + std::chrono::milliseconds(5)));
  }
  return true;
}

/// Runs all handlers that are ready.
inline void settle(asio::io_context& loop) {
  loop.restart();
  loop.poll();
}

/// Runs `loop` for `time`, to show that nothing (more) happens in it.
inline void run_for(asio::io_context& loop, Clock::duration time) {
  loop.restart();
  loop.run_for(time);
}

/// Runs `action` in a handler of the loop. All code that cancels must run in a handler. Otherwise,
/// Asio posts the cancellation with a pointer to a signal that may be destroyed before it is used.
template <class Action>
void on_loop(asio::io_context& loop, Action&& action) {
  asio::post(loop, std::forward<Action>(action));
  settle(loop);
}

/// A running coroutine. Gives its result when it ends, and can cancel it.
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
  /// Like cancel(), for callers that already run in a handler of the loop.
  void cancel_on_loop() { state_->cancel.emit(asio::cancellation_type::terminal); }
  [[nodiscard]] bool done() const { return state_->completions > 0; }
  [[nodiscard]] int completions() const { return state_->completions; }

  /// Runs the loop until the coroutine ends, at most kTimeLimit. Returns the result, or rethrows
  /// the exception of the coroutine.
  T get() {
    if (!run_until(loop_, [this] { return done(); }))
      throw std::runtime_error("the coroutine did not end within the time limit");
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
