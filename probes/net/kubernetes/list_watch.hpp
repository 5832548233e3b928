// One attempt to follow a resource: discovers the API version, lists the objects if necessary, then
// watches until the server ends the watch or something fails. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"
#include "probes/net/kubernetes/api.hpp"
#include "probes/net/kubernetes/client_context.hpp"

#include <chrono>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>

namespace vitalsd::net::kubernetes {

constexpr int kNotFound = 404;
constexpr int kGone = 410;

/// The store was restored from a backup or replaced by another one: its revision decreased.
class StoreReplaced : public ProbeError {
 public:
  StoreReplaced()
      : ProbeError(Reason::unready, "the revision of the API server's store decreased") {}
};

/// The state that one attempt passes to the next.
struct WatchPosition {
  std::string_view api_version;  ///< of the resource, as the server serves it
  std::string resource_version;  ///< of the last list or event
  bool listed = false;           ///< all subscribers have the objects as of resource_version
  bool verify_revision = false;  ///< the store may have been replaced since resource_version
};

class ListWatch : public std::enable_shared_from_this<ListWatch> {
 public:
  using Clock = std::chrono::steady_clock;

  /// Receives the reports of an attempt. Every call is made before cancel(), and each of them may
  /// call cancel().
  class Owner {
   public:
    Owner() = default;
    virtual ~Owner() = default;
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;

    /// The server has sent data; the next piece must arrive within `max_silence`.
    virtual void received(Clock::duration max_silence) = 0;
    virtual void list_started() = 0;
    /// Returns whether all subscribers have a complete list.
    virtual bool list_ended() = 0;
    virtual void updated(std::string_view object, bool listing) = 0;
    virtual void deleted(std::string_view object, bool listing) = 0;
    /// The server accepted a watch that starts at the last revision.
    virtual void watch_started() = 0;
    /// An event or a bookmark has been processed.
    virtual void event_processed() = 0;
    /// The attempt is over; `error` is null if the server ended the watch normally.
    virtual void attempt_ended(const std::exception_ptr& error) = 0;
  };

  /// `position` and `owner` must be valid until attempt_ended() or cancel().
  ListWatch(ClientContext& context, Query query, WatchPosition& position, Owner& owner);
  ~ListWatch();
  ListWatch(const ListWatch&) = delete;
  ListWatch& operator=(const ListWatch&) = delete;

  void start();
  /// Ends the attempt without a report to the owner. The object exists until its coroutine has
  /// unwound.
  void cancel();
  /// Ends the attempt with an error because the server sent nothing for too long.
  void time_out();

  [[nodiscard]] bool timed_out() const { return timed_out_; }
  [[nodiscard]] Clock::time_point started() const { return started_; }
  /// The current step of the HTTP client, for error messages.
  [[nodiscard]] const std::string& step() const { return steps_.step(); }
  /// A text of the server as logs and pages show it, without the credentials of the attempt.
  [[nodiscard]] std::string shown(std::string_view text) const { return steps_.shown(text); }

 private:
  static asio::awaitable<void> run(std::shared_ptr<ListWatch> self);
  asio::awaitable<void> list_and_watch();
  asio::awaitable<void> discover_version();
  asio::awaitable<void> check_revision();
  asio::awaitable<void> list_pages();
  asio::awaitable<void> watch(bool with_list);
  asio::awaitable<HttpResponse> call(Api::Call call);
  void on_event(const Event& event, bool& listing);
  void end_list();
  [[nodiscard]] Api::Call request(std::string_view verb) const;

  ClientContext& context_;
  Query query_;
  WatchPosition& position_;
  Owner* owner_;  // null after cancel()
  asio::cancellation_signal cancel_;
  SampleSet steps_;                // receives the steps and secrets of HttpClient
  std::exception_ptr data_error_;  // thrown while a piece of data was processed
  Clock::time_point started_ = Clock::now();
  bool timed_out_ = false;
};

}  // namespace vitalsd::net::kubernetes
