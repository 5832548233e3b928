// Follows all objects of one resource: lists them, then watches for changes as long as there are
// subscribers, and retries after every failure. It does not keep objects. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/backoff.hpp"
#include "probes/net/kubernetes/client_context.hpp"
#include "probes/net/kubernetes/list_watch.hpp"
#include "probes/net/kubernetes/subscribers.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net::kubernetes {

class Reflector : private ListWatch::Owner {
 public:
  using Clock = std::chrono::steady_clock;

  Reflector(ClientContext& context, Query query);
  ~Reflector() override;
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  /// Adds a listener, which receives the objects from now on, starting with a list.
  void add(Listener& listener);
  void remove(const Listener& listener);
  /// Whether no listener needs this reflector. It must exist while it calls a listener.
  [[nodiscard]] bool idle() const { return subscribers_.empty() && !subscribers_.calling(); }
  [[nodiscard]] const Query& query() const { return query_; }
  /// The version of the resource that the server has, or the preferred one before the first list.
  [[nodiscard]] std::string_view version() const { return position_.api_version; }

  /// Whether `listener` has received a complete list.
  [[nodiscard]] bool synced(const Listener& listener) const {
    return subscribers_.synced(listener);
  }
  /// Returns when `listener` is synced, or when an attempt has failed.
  asio::awaitable<void> wait(const Listener& listener);

  /// Why the last attempt failed. Empty while a watch is established, and while it is renewed after
  /// the server ended it normally.
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  /// When the API server last sent data about the resource; the creation time of the reflector if
  /// it has sent none.
  [[nodiscard]] Clock::time_point last_received() const { return last_received_; }
  /// The same in Unix seconds; 0 before the first response.
  [[nodiscard]] double last_received_unix() const { return last_received_unix_; }

  /// Starts over with a list. For another API server.
  void restart();
  /// Cancels the attempt and the retry. No listener is called afterwards.
  void stop();

 private:
  void start_after(Clock::duration delay);
  void start();
  void failed(Failure failure, std::optional<std::chrono::seconds> retry_after = std::nullopt);
  void wake_waiters();
  void stop_if_idle();

  void received(Clock::duration max_silence) override;
  void list_started() override;
  bool list_ended() override;
  void updated(std::string_view object, bool listing) override;
  void deleted(std::string_view object, bool listing) override;
  void watch_started() override { failure_.reset(); }
  void event_processed() override { backoff_.reset(); }
  void attempt_ended(const std::exception_ptr& error) override;

  ClientContext& context_;
  Query query_;
  Subscribers subscribers_;
  std::vector<std::shared_ptr<Pending<bool>>> waiters_;
  WatchPosition position_;
  std::shared_ptr<ListWatch> attempt_;  // in progress; else null
  Backoff backoff_;
  Timer retry_timer_;
  Timer silence_timer_;
  std::optional<Failure> failure_;
  Clock::time_point last_received_ = Clock::now();
  double last_received_unix_ = 0;
};

}  // namespace vitalsd::net::kubernetes
