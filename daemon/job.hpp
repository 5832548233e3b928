// One configured probe: starts a run at each due time, publishes its results, and applies new
// settings after a reload. Does not depend on the kind of probe. Probe loop only.
//
//   Schedule  due times
//   Run       one observation, with its deadline
//   Account   counters and last results, as the framework's series
//   Report    its row of the status page, and the log of its changes
//   Job       connects them with the gate and the ledger
//
// A run that exceeds its deadline is cancelled and reported as timed out at once. While its
// coroutine has not ended, due times are counted as stuck: a probe never has two observations at a
// time.
#pragma once

#include "config/settings.hpp"
#include "daemon/account.hpp"
#include "daemon/board.hpp"
#include "daemon/checks.hpp"
#include "daemon/gate.hpp"
#include "daemon/probe_report.hpp"
#include "daemon/run.hpp"
#include "daemon/schedule.hpp"
#include "daemon/self_metrics.hpp"
#include "exporter/model/exposition.hpp"
#include "exporter/model/ledger.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd {

/// A probe that was read from the configuration and built.
struct JobSpec {
  std::string name;
  const ProbeKind* kind = nullptr;
  config::Duration interval{};
  config::Duration timeout{};
  config::Labels labels;
  std::size_t fingerprint = 0;
  std::vector<CheckSetting> checks;  ///< configured, one for each of kind->checks
  /// As text for the pages, without secrets.
  std::shared_ptr<const std::vector<std::pair<std::string, std::string>>> options{};
  std::unique_ptr<Probe> probe;
};

/// Objects that all jobs share. They outlive every job.
struct JobServices {
  boost::asio::io_context& loop;
  net::TimerWheel& wheel;
  Gate& gate;
  Exposition& exposition;
  Board& board;
  SelfMetrics& metrics;
  /// First runs are spread over this time, which is short, so that a daemon publishes readings soon
  /// after its start.
  config::Duration first_run_within{2'000};
};

/// The state that survives a restart, or a reload that does not change the target.
struct JobMemory {
  std::optional<std::chrono::system_clock::time_point> last_success;
  std::vector<StoredFact> facts;
  std::string notes{};  ///< Notes::serialize() of the probe
  Account::FactTimes fact_times{};
};

class Job {
 public:
  using Clock = net::TimerWheel::Clock;

  Job(const JobServices& services, JobSpec spec);
  /// Cancels a run in progress; its result is discarded.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Schedules the first run after `now`; later runs follow in the job's own phase.
  void start(Clock::time_point now);
  /// Starts no more runs and cancels the run in progress. Used when the process ends.
  void stop();

  /// Applies new settings with the same name, after the run in progress. If kind and target are the
  /// same, facts are kept, and the new probe inherits from the old one unless the old one is still
  /// observing; otherwise facts are removed. Counters are always kept.
  void replace(JobSpec spec);

  /// `callback` is called once: at the outcome of the first due time, or when the job is destroyed
  /// before that.
  void on_first_outcome(std::function<void()> callback) { on_first_outcome_ = std::move(callback); }

  /// Whether `spec` equals the current settings, or those that replace() will install after the run
  /// in progress.
  [[nodiscard]] bool matches(const JobSpec& spec) const;

  /// Whether a coroutine of this job has not ended, including one past its deadline.
  [[nodiscard]] bool running() const;

  [[nodiscard]] const JobSpec& spec() const { return spec_; }
  /// Null if the probe receives no requests.
  [[nodiscard]] Receiver* receiver() const { return probe_->receiver(); }
  [[nodiscard]] std::string target() const { return probe_->target(); }
  [[nodiscard]] JobMemory memory() const;
  void restore(const JobMemory& memory);
  /// Restores what neither a run nor restore() has set yet: facts and the last success if there are
  /// none, and notes unless the probe has newer ones.
  void restore_missing(JobMemory memory);
  /// Until end_wait(), the runs of a probe with notes fail: the earlier notes are not known, and
  /// what the probe records would replace them.
  void wait_for_state();
  void end_wait() { waits_for_state_ = false; }
  [[nodiscard]] bool waits_for_state() const { return waits_for_state_; }
  /// The last result of memory() is on the disk, or could not be saved.
  void mark_saved(bool saved);
  /// Reports that there is no state file to save memory() to.
  void skip_saving();
  /// Reports that memory() cannot be saved now, because the state file has not been read.
  void refuse_saving();
  /// Changes whenever memory() changes. Changed times alone do not count.
  [[nodiscard]] std::uint64_t memory_version() const;

 private:
  void due();
  void move_schedule(Clock::time_point now);
  void wait_until_due(Clock::time_point now);
  void start_run();
  void end_run(const std::optional<Failure>& thrown);
  void skip(Outcome outcome);
  void install(JobSpec spec);
  void report_first_outcome();
  [[nodiscard]] std::string constant_labels() const;
  [[nodiscard]] Part framework_samples() const;

  const JobServices& services_;
  JobSpec spec_;
  std::string endpoint_;
  std::shared_ptr<Probe> probe_;
  std::optional<std::uint64_t> new_notes_;  // version of the probe's new notes, until restored
  bool waits_for_state_ = false;
  std::unique_ptr<JobSpec> next_spec_;  // installed when the run in progress has ended
  std::unique_ptr<Ledger> ledger_;
  ProbeReport report_;
  Schedule schedule_;
  Account account_;
  std::optional<Clock::time_point> last_end_;  // of a run
  net::Timer due_timer_;
  std::shared_ptr<Run> run_;        // queued or in progress
  std::shared_ptr<Run> cancelled_;  // its coroutine may not have ended
  prometheus::Histogram* schedule_lag_ = nullptr;
  std::function<void()> on_first_outcome_;
};

}  // namespace vitalsd
