// Follows all objects of one resource: lists them, then watches for changes for as long as anybody
// listens, and finds its way back from whatever happens to the API server or to us. It keeps no
// object itself. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/api.hpp"
#include "probes/net/pending.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd::net::kubernetes {

/// Gets a resource's objects. Whoever keeps them marks those that it has seen since list_started()
/// and forgets the others at list_ended(): between the two, none is missing. Objects are valid
/// during the call. May throw ProbeError for bytes that it cannot read: then the list begins anew.
class Listener {
 public:
  Listener() = default;
  virtual ~Listener() = default;
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

  virtual void list_started() = 0;
  virtual void updated(std::string_view object) = 0;  ///< new or changed or just listed
  virtual void deleted(std::string_view object) = 0;  ///< its last state
  virtual void list_ended() = 0;
};

/// What to follow.
struct Query {
  Resource resource;
  std::string namespace_name{};  ///< empty: all
  std::string label_selector{};
  std::string field_selector{};
  bool operator==(const Query&) const = default;
  /// "pods", "secrets in web": for messages.
  [[nodiscard]] std::string text() const;
};

/// How long what may take. Tests have less time.
struct Patience {
  using Time = std::chrono::milliseconds;
  /// Without a byte of an answer: connection, headers, the rest of a list.
  Time answer = std::chrono::seconds(30);
  /// Without a byte of a watch until the server is asked again: a quiet resource gets a bookmark
  /// about every minute from most servers.
  Time watch = std::chrono::seconds(100);
  /// Attempts begin this far apart at least; a failed one doubles it, up to the most.
  Time min_delay = std::chrono::seconds(1);
  Time max_delay = std::chrono::seconds(10);
  /// Without an event or bookmark until the resource's probes fail: two missed ones are no
  /// accident.
  Time stale = std::chrono::minutes(2);
  /// And until their readings are gone.
  Time too_old = std::chrono::minutes(5);
};

/// What all reflectors and streams of one API server share.
struct ReflectorContext {
  asio::io_context& loop;
  TimerWheel& wheel;
  const Api& api;
  Patience patience{};
  bool watch_list = true;  ///< whether it knows WatchList, as far as we know
  int running = 0;         ///< attempts and streams that have not unwound yet
};

class Reflector {
 public:
  using Clock = std::chrono::steady_clock;

  Reflector(ReflectorContext& context, Query query);
  ~Reflector();
  Reflector(const Reflector&) = delete;
  Reflector& operator=(const Reflector&) = delete;

  /// From now on `listener` gets the objects, beginning with a list.
  void add(Listener& listener);
  void remove(Listener& listener);
  [[nodiscard]] bool idle() const { return seats_.empty(); }
  [[nodiscard]] const Query& query() const { return query_; }

  /// Whether `listener` has had a whole list.
  [[nodiscard]] bool synced(const Listener& listener) const;
  /// Returns when it has, or when an attempt to get there has failed.
  asio::awaitable<void> wait(const Listener& listener);

  /// Why nothing is heard; none while the watch is up or being renewed in the ordinary way.
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  /// When the API server last said anything about the resource; never: when it
  /// was asked first.
  [[nodiscard]] Clock::time_point heard() const { return heard_; }
  [[nodiscard]] double heard_at() const { return heard_at_; }  ///< the same in Unix seconds

  /// Starts over with a list, for another API server.
  void restart();
  /// Gives up what is going on; nothing is heard any more.
  void stop();

 private:
  struct Seat {
    Listener* listener;
    bool listening = false;  // to the list that is going on
    bool synced = false;
  };
  struct Attempt;

  void start_after(Clock::duration delay);
  void start();
  asio::awaitable<void> run(std::shared_ptr<Attempt> attempt);
  asio::awaitable<void> find_version(std::shared_ptr<Attempt> attempt);
  asio::awaitable<void> check_revision(std::shared_ptr<Attempt> attempt);
  asio::awaitable<void> list_pages(std::shared_ptr<Attempt> attempt);
  asio::awaitable<void> watch(std::shared_ptr<Attempt> attempt, bool with_list);
  void on_event(const Event& event, bool& listing);
  void list_started();
  void list_ended();
  void ended(const std::shared_ptr<Attempt>& attempt, const std::exception_ptr& error);
  void failed(Failure failure, std::optional<std::chrono::seconds> retry_after);
  void hear(Clock::duration max_silence);
  void wake_waiters();
  [[nodiscard]] Api::Call call(std::string_view verb) const;

  ReflectorContext& context_;
  Query query_;
  std::vector<Seat> seats_;
  std::vector<std::shared_ptr<Pending<bool>>> waiters_;
  std::shared_ptr<Attempt> attempt_;  // the one that is going on
  Timer retry_timer_;
  Timer silence_timer_;

  std::string_view version_;  // of the API, as the server has it
  std::string resource_version_;
  bool listed_ = false;    // all that listen have a list up to resource_version_
  bool in_doubt_ = false;  // the store may have been put back meanwhile
  int failures_ = 0;       // in a row
  std::optional<Failure> failure_;
  Clock::time_point heard_ = Clock::now();
  double heard_at_ = 0;
};

}  // namespace vitalsd::net::kubernetes
