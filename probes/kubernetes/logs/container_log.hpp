// The log of one container: its stream, the steps in which it is read, and the retries. Probe loop
// only.
//
// Each time a log is requested, it is read in three steps:
// - previous: the rest of the log of the previous container instance. A restart that the watch has
//   not reported yet, or that happened while vitalsd was not running, loses no lines.
// - present: the existing lines of the current instance. This response ends, so it shows whether
//   the log can be read at all.
// - follow: new lines. A kubelet does not start the response to this request before the first line,
//   so a quiet log looks the same as a kubelet that does not respond.
#pragma once

#include "probes/kubernetes/logs/log_counts.hpp"
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/net/kubernetes/backoff.hpp"
#include "probes/net/kubernetes/stream.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

class ContainerLog {
 public:
  enum class State : unsigned char {
    idle,     ///< read to its end; the next lines come after the container starts again
    queued,   ///< waits for open()
    opening,  ///< the existing lines are being read
    open,     ///< followed
    backoff,  ///< waits after an end or a failure
  };
  static constexpr std::size_t kStates = 5;

  /// A container instance as the watch reports it. The kubelet knows a new instance earlier.
  struct Instance {
    std::string uid;  ///< of the pod
    std::int64_t restarts = 0;
    bool running = false;
    bool operator==(const Instance&) const = default;
  };

  class Owner {
   public:
    Owner() = default;
    virtual ~Owner() = default;
    Owner(const Owner&) = delete;
    Owner& operator=(const Owner&) = delete;

    /// In state `queued` the owner calls open() when a stream is available, but not from within
    /// this call: libcurl may be the caller, and cannot start a transfer from a callback.
    virtual void state_changed(ContainerLog& log, State from) = 0;
    virtual void bytes_received(std::size_t count) = 0;
    /// A new line is longer than LogReader::kMaxLine.
    virtual void line_truncated() = 0;
    /// The pod was deleted and its log has been read to the end. The owner destroys the log.
    virtual void finished(ContainerLog& log) = 0;
  };

  /// `key` is "namespace/pod/name".
  ContainerLog(const Environment& environment, LogCounts& counts, Owner& owner, std::string key,
               const Pod& pod, std::string container_name);
  ~ContainerLog();
  ContainerLog(const ContainerLog&) = delete;
  ContainerLog& operator=(const ContainerLog&) = delete;

  [[nodiscard]] const std::string& key() const { return key_; }
  [[nodiscard]] State state() const { return state_; }
  /// Whether an attempt to read the log has ended, with success or failure.
  [[nodiscard]] bool tried() const { return tried_; }
  /// Why the log cannot be read.
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }

  /// Called when the watch reports an instance of the container. Queues the log if the instance is
  /// new.
  void update(const Instance& instance);
  /// Called when the pod was deleted. Returns true if the rest of the log is still being read;
  /// finished() is called afterwards. Returns false if there is nothing more to read.
  bool drain();
  /// Requests the log. Must be called in state `queued`.
  void open();

 private:
  using Clock = std::chrono::steady_clock;
  using Stream = net::kubernetes::Stream;
  enum class Step : unsigned char { previous, present, follow };

  void set_state(State state);
  void enqueue();
  void send_request();
  void on_data(std::string_view piece);
  void on_end(const Stream::End& end);
  void on_timer();
  void close(const Stream::End& end);
  void start_silence_timer();
  [[nodiscard]] std::string text() const;

  const Environment& environment_;
  Owner& owner_;
  std::string key_;
  std::string namespace_name_;
  std::string pod_;
  std::string name_;
  LogCounts::Row& row_;
  LogPosition& position_;
  LogReader reader_;

  Instance instance_;
  Instance requested_;  // instance_ at the time of the request
  bool pod_deleted_ = false;
  State state_ = State::idle;
  Step step_ = Step::previous;
  bool tried_ = false;
  std::optional<Failure> failure_;
  int previous_failures_ = 0;  // failures in a row, in the step `previous`
  net::kubernetes::Backoff backoff_;
  Clock::time_point opened_{};
  std::unique_ptr<Stream> stream_;
  net::Timer timer_;  // the timeout or the delay of the current state
};

}  // namespace vitalsd::kubernetes
