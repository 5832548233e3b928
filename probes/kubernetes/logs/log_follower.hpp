// Follows the logs of the containers of all pods of a scope, a stream a container, whatever happens
// to stream, container, kubelet and API server. Probe loop only.
//
// Each time that a log is asked for, it is read in three steps: the rest of the container's
// instance before, so that a restart that we have not heard of yet, or slept through, costs
// nothing; what there is of this one, which ends, and so tells whether it can be read at all; and
// then, as a kubelet that is asked to follow a quiet log does not even begin to answer, what comes
// from now on.
#pragma once

#include "probes/kubernetes/logs/log_counts.hpp"
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/kubernetes/stream.hpp"
#include "probes/net/timer_wheel.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::kubernetes {

class LogFollower {
 public:
  /// Of the containers of the scope's pods those of these names; none named: all.
  LogFollower(const Environment& environment, const Scope& scope,
              std::vector<std::string> containers, std::vector<LogPattern> patterns);
  ~LogFollower();
  LogFollower(const LogFollower&) = delete;
  LogFollower& operator=(const LogFollower&) = delete;

  void set_max_streams(std::size_t max) { max_streams_ = max; }
  [[nodiscard]] LogCounts& counts() { return counts_; }

  /// Joins the watches if need be, judges how fresh they are and what keeps logs from being read,
  /// and fails `run` or its parts accordingly. Waits for logs that nobody has asked for yet, but
  /// not until the run's end.
  asio::awaitable<void> judge(SampleSet& run);

  [[nodiscard]] std::size_t open() const { return number(State::open); }
  /// Logs that could be read if there were not so many.
  [[nodiscard]] std::size_t waiting() const { return number(State::queued); }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }

 private:
  class Source;
  struct Container;
  enum class State : unsigned char {
    resting,  // there is nothing to be read until it is started again
    queued,
    opening,  // what there is is being read
    open,     // followed
    pausing,  // after an end or a failure
  };
  struct PodEntry {
    std::string uid;
    Source* source = nullptr;
    std::uint32_t list = 0;  // the last one that it was seen in or after
  };
  using Pods = std::map<std::string, PodEntry>;  // by "namespace/name"

  void updated(Source& source, const Pod& pod);
  void deleted(const Pod& pod);
  void deleted(Pods::iterator pod);
  void listed(const Source& source);

  [[nodiscard]] std::size_t number(State state) const {
    return numbers_[static_cast<std::size_t>(state)];
  }
  void set_state(Container& container, State state);
  void enqueue(Container& container);
  void begin_some();
  void ask(Container& container);
  void on_data(Container& container, std::string_view piece);
  void on_end(Container& container, const net::kubernetes::Stream::End& end);
  void on_timer(Container& container);
  void rest(Container& container, const net::kubernetes::Stream::End& end);
  void remove(Container& container);
  [[nodiscard]] bool some_untried() const;

  const Environment& environment_;
  std::vector<std::string> wanted_;
  std::size_t max_streams_ = 0;
  LogCounts counts_;
  std::uint64_t bytes_read_ = 0;
  std::array<std::size_t, 5> numbers_{};  // of containers, by state
  Pods pods_;
  // By "namespace/pod/name", as the API names logs: a pod that takes another one's name takes its
  // place, so that a log that is asked for while that happens has one reader all the same.
  std::map<std::string, std::unique_ptr<Container>> containers_;
  std::deque<std::string> queue_;  // of containers_; those that are not queued any more too
  net::Timer begin_timer_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace vitalsd::kubernetes
