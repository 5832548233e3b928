// A result that a coroutine waits for and that does not come from an Asio object: a thread of the
// pool, a c-ares query, a curl transfer. It completes exactly once. The completion is posted to the
// loop, so a `start` function that fails at once does not resume its own caller. Cancellation
// completes it at once, even if the operation continues. Probe loop only; other threads post to the
// loop.
#pragma once

#include <exception>
#include <functional>
#include <memory>
#include <utility>

#include <boost/asio/any_io_executor.hpp>
#include <boost/asio/associated_cancellation_slot.hpp>
#include <boost/asio/associated_executor.hpp>
#include <boost/asio/async_result.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/error.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd::net {

namespace asio = boost::asio;

template <class T>
class Pending {
 public:
  void succeed(T value) { complete(nullptr, std::move(value)); }
  void fail(std::exception_ptr error) { complete(std::move(error), T{}); }
  template <class E>
  void fail_with(E error) {
    fail(std::make_exception_ptr(std::move(error)));
  }

  /// Whether it has completed. A later result is discarded.
  [[nodiscard]] bool done() const { return !handler_; }

  /// Called on the loop when the waiting coroutine is cancelled. Stops the operation or releases
  /// its resources.
  std::function<void()> on_cancel;

  /// Calls `start` with the Pending and waits for the result. `start` begins the operation, which
  /// completes the Pending at once or later.
  template <class Start>
  static asio::awaitable<T> wait(Start start) {
    const auto initiate = [](auto handler, Start start_operation) {
      auto pending = std::make_shared<Pending>();
      auto slot = asio::get_associated_cancellation_slot(handler);
      pending->executor_ = asio::get_associated_executor(handler);
      pending->handler_ = std::move(handler);
      if (slot.is_connected()) {
        slot.assign([weak = std::weak_ptr(pending)](asio::cancellation_type) {
          const auto self = weak.lock();
          if (!self || self->done()) return;
          const std::function<void()> cancel = std::move(self->on_cancel);
          self->fail_with(boost::system::system_error(asio::error::operation_aborted));
          if (cancel) cancel();
        });
      }
      start_operation(std::move(pending));
    };
    co_return co_await asio::async_initiate<const asio::use_awaitable_t<>,
                                            void(std::exception_ptr, T)>(
        initiate, asio::use_awaitable, std::move(start));
  }

 private:
  void complete(std::exception_ptr error, T value) {
    if (!handler_) return;
    auto handler = std::exchange(handler_, nullptr);
    on_cancel = nullptr;
    asio::post(executor_, [handler = std::move(handler), error = std::move(error),
                           value = std::move(value)]() mutable {
      handler(std::move(error), std::move(value));
    });
  }

  asio::any_io_executor executor_;
  // Not asio::any_completion_handler, because in Boost 1.81 a copy wraps the original.
  std::move_only_function<void(std::exception_ptr, T)> handler_;
};

}  // namespace vitalsd::net
