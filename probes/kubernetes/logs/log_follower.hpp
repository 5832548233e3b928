// Follows the logs of the containers of all pods of a scope, with one stream for each container. If
// there are more logs than streams, it chooses which logs to follow. Probe loop only.
#pragma once

#include "probes/kubernetes/logs/container_log.hpp"
#include "probes/kubernetes/logs/log_counts.hpp"
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/timer_wheel.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::kubernetes {

class LogFollower : private ContainerLog::Owner {
 public:
  /// Follows the containers with the names `containers`; empty: all containers.
  LogFollower(const Environment& environment, const Scope& scope,
              std::vector<std::string> containers, std::vector<LogPattern> patterns);
  ~LogFollower() override;
  LogFollower(const LogFollower&) = delete;
  LogFollower& operator=(const LogFollower&) = delete;

  void set_max_streams(std::size_t max) { max_streams_ = max; }
  [[nodiscard]] LogCounts& counts() { return counts_; }

  /// Subscribes to the pods if that has not been done. Fails `run` or its parts if the list of pods
  /// is stale or if logs cannot be read. Waits for the first attempts to read new logs, up to half
  /// of the run's time limit.
  asio::awaitable<void> judge(SampleSet& run);

  /// The number of logs that are followed.
  [[nodiscard]] std::size_t open() const { return count(State::open); }
  /// The number of logs that wait for a stream.
  [[nodiscard]] std::size_t waiting() const { return queue_.size(); }
  [[nodiscard]] std::uint64_t bytes_read() const { return bytes_read_; }
  [[nodiscard]] std::uint64_t truncated_lines() const { return truncated_lines_; }

 private:
  class Source;
  using State = ContainerLog::State;
  struct PodEntry {
    std::string uid;
    Source* source = nullptr;
    std::uint32_t list = 0;                 // the list during or after which it was last updated
    std::vector<std::size_t> containers{};  // indices of container_names_
  };
  using Pods = std::map<std::string, PodEntry>;  // by "namespace/name"

  /// Counts the pods by source. Visits all pods, so it is called only if the counts are published.
  [[nodiscard]] std::map<const Source*, std::size_t> count_pods() const;
  /// Counts the containers with each configured name.
  void count_containers(Selection& selection) const;
  void updated(Source& source, const Pod& pod);
  void deleted(const Pod& pod);
  void deleted(Pods::iterator pod);
  void list_ended(const Source& source);

  void state_changed(ContainerLog& log, State from) override;
  void bytes_received(std::size_t count) override { bytes_read_ += count; }
  void line_truncated() override { ++truncated_lines_; }
  void finished(ContainerLog& log) override;

  void leave(const ContainerLog& log, State state);
  [[nodiscard]] std::size_t& count(State state) {
    return counts_by_state_[static_cast<std::size_t>(state)];
  }
  [[nodiscard]] std::size_t count(State state) const {
    return counts_by_state_[static_cast<std::size_t>(state)];
  }
  [[nodiscard]] bool is_full() const;
  void schedule_opening();
  void open_queued();
  [[nodiscard]] bool has_untried() const;

  const Environment& environment_;
  std::vector<std::string> container_names_;
  std::size_t max_streams_ = 0;
  LogCounts counts_;
  std::uint64_t bytes_read_ = 0;
  std::uint64_t truncated_lines_ = 0;
  std::array<std::size_t, ContainerLog::kStates> counts_by_state_{};
  Pods pods_;
  // By "namespace/pod/name", the name of the log in the API. A pod that replaces another pod with
  // the same name replaces its logs, so a log always has one reader.
  std::map<std::string, std::unique_ptr<ContainerLog>> logs_;
  std::deque<ContainerLog*> queue_;  // the logs in state `queued`, in the order of their arrival
  net::Timer open_timer_;
  std::vector<std::unique_ptr<Source>> sources_;
};

}  // namespace vitalsd::kubernetes
