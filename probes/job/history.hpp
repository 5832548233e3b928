// What is known about the runs of one job from its requests. Survives a restart as Notes. Each
// answer waits until the state with its effect is saved. Probe loop only.
#pragma once

#include "probes/job/groups.hpp"
#include "probes/job/ping.hpp"
#include "probes/probe.hpp"
#include "probes/receiver.hpp"

#include <array>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::job {

/// Times are Unix seconds by the clock of this process.
class History final : public Notes {
 public:
  /// The job `name`, which is observed from `now` on.
  explicit History(double now, std::string name = {})
      : known_since_(now), groups_(std::move(name)) {}
  /// Asks the senders of requests without an answer to retry.
  ~History() override;
  History(const History&) = delete;
  History& operator=(const History&) = delete;

  /// Whether too many requests have no answer yet, and the answer to further ones.
  [[nodiscard]] bool is_full() const { return waiting_.size() >= kMaxWaiting; }
  static PushAnswer busy() {
    return {503, "Too many requests wait until the state is saved: retry.\n"};
  }
  /// The answer to requests that wait when the probe is removed.
  static PushAnswer gone() { return {503, "The configuration has changed: retry.\n"}; }

  /// Records a request, unless is_full(). A request of a run that has been
  /// recorded already has no effect. `message` is the text for the status page.
  void record(const Ping& ping, std::string message, double now, Receiver::Answer answer);

  /// What the job has pushed. Call change() after each change.
  [[nodiscard]] Groups& groups() { return groups_; }
  void change() { ++version_; }
  /// Calls `answer` with `saved` when the current state is saved, and otherwise asks for a retry.
  void answer_when_saved(PushAnswer saved, Receiver::Answer answer);

  [[nodiscard]] std::optional<double> last_start() const { return facts_.last_start; }
  [[nodiscard]] std::optional<double> last_success() const { return facts_.last_success; }
  [[nodiscard]] std::optional<double> last_failure() const { return facts_.last_failure; }
  /// Of the last run that has ended; nothing if its start was not reported.
  [[nodiscard]] std::optional<double> last_duration() const { return facts_.last_duration; }
  /// Of the last run that has ended; nothing if it was not reported.
  [[nodiscard]] std::optional<double> last_exit_code() const { return facts_.last_exit_code; }
  [[nodiscard]] const std::string& message() const { return facts_.message; }
  /// Failed runs since the last success.
  [[nodiscard]] double failures_in_a_row() const { return facts_.failures_in_a_row; }
  /// Saved counts of runs, which never decrease.
  [[nodiscard]] double succeeded() const { return published_[0]; }
  [[nodiscard]] double failed() const { return published_[1]; }

  /// The start of the oldest run that has not ended. A run that started before one that has ended
  /// does not count: it was killed, or its end was lost.
  [[nodiscard]] std::optional<double> running_since() const;
  /// The last time at which the job has reported, or the start of its observation if that is later.
  /// Ignores times after `now`: the clock has been set back.
  [[nodiscard]] double last_heard(double now);

  std::string serialize() override;
  void saved() override { settle(true); }
  void save_failed() override { settle(false); }
  void restore(std::string_view text) override;
  [[nodiscard]] std::uint64_t version() const override { return version_; }

 private:
  static constexpr std::size_t kMaxRuns = 64;
  static constexpr std::size_t kMaxWaiting = 64;

  struct Run {
    std::string id;  // empty: the job does not send any
    std::optional<double> start;
    bool has_ended = false;
  };
  struct Facts {
    std::optional<double> last_start, last_success, last_failure, last_duration, last_exit_code;
    std::array<double, 2> counts{};  // succeeded, failed
    double failures_in_a_row = 0;
    std::string message;
  };
  struct Waiting {
    std::uint64_t version;  // that must be saved
    PushAnswer saved;
    Receiver::Answer answer;
  };

  bool apply(const Ping& ping, double now);
  Run& run_of(const Ping& ping);
  void end(Run& run, const Ping& ping, double now);
  [[nodiscard]] bool is_over(const Run& run) const;
  void drop_old_runs();
  void settle(bool saved);
  void restore_groups(const boost::json::value& saved);

  double known_since_;
  Facts facts_;
  Groups groups_;
  std::deque<Run> runs_;               // the oldest first
  std::optional<double> ended_start_;  // the latest start of a run that has ended
  std::array<double, 2> serialized_counts_{};
  std::array<double, 2> published_{};
  std::uint64_t version_ = 1;  // known_since_ has not been saved
  std::uint64_t serialized_version_ = 0;
  std::uint64_t saved_version_ = 0;
  std::vector<Waiting> waiting_;
};

}  // namespace vitalsd::job
