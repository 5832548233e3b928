// The one form in which an operation of ours waits for something that is no Asio object: a thread
// of the pool, a c-ares query, a curl transfer. It completes exactly once, always posted to the
// loop (so a starter that fails at once does not resume its own caller), and cancellation ends it
// at once whatever the thing behind it goes on to do. Probe loop only; other threads post to it.
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

  /// Whether it has completed: the result that comes now interests nobody.
  [[nodiscard]] bool done() const { return !handler_; }

  /// Called, on the loop, when the waiting run is cancelled: lets go of what is behind it.
  std::function<void()> on_cancel;

  /// Waits for what `start` begins; `start` gets the Pending and completes it, then or later.
  template <class Start>
  static asio::awaitable<T> wait(Start start) {
    const auto initiate = [](auto handler, Start begin) {
      auto pending = std::make_shared<Pending>();
      auto slot = asio::get_associated_cancellation_slot(handler);
      pending->executor_ = asio::get_associated_executor(handler);
      pending->handler_ = std::move(handler);
      if (slot.is_connected()) {
        slot.assign([weak = std::weak_ptr(pending)](asio::cancellation_type) {
          const auto self = weak.lock();
          if (!self || self->done()) return;
          const std::function<void()> let_go = std::move(self->on_cancel);
          self->fail_with(boost::system::system_error(asio::error::operation_aborted));
          if (let_go) let_go();
        });
      }
      begin(std::move(pending));
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
  // Not asio::any_completion_handler: in Boost 1.81 it wraps itself in itself when it is copied.
  std::move_only_function<void(std::exception_ptr, T)> handler_;
};

}  // namespace vitalsd::net
