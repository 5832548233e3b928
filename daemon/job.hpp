// One configured probe at work: its due times, its runs and their deadlines, what they come to, and
// the publishing of it. Knows nothing of what kinds of probes there are. Probe loop only.
//
// A due time begins a run, if the gate has a slot; the run is a coroutine of its own which owns all
// it needs. It ends, or its deadline passes: then it is cancelled and given up at once, reported as
// timed out, and its late result is dropped. While a run that was given up has still not ended, due
// times come to "stuck": there are never two observations of one probe.
#pragma once

#include "config/settings.hpp"
#include "daemon/board.hpp"
#include "daemon/gate.hpp"
#include "daemon/self_metrics.hpp"
#include "exporter/model/exposition.hpp"
#include "exporter/model/ledger.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/probe.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

namespace vitalsd {

/// A probe that has been read from the configuration and built.
struct JobSpec {
  std::string name;
  const ProbeKind* kind = nullptr;
  config::Duration interval{};
  config::Duration timeout{};
  config::Labels labels;
  std::size_t fingerprint = 0;
  std::vector<Thresholds> thresholds;  ///< configured, one for each of kind->checks
  std::unique_ptr<Probe> probe;
};

/// What jobs share.
struct JobServices {
  boost::asio::io_context& loop;
  net::TimerWheel& wheel;
  Gate& gate;
  Exposition& exposition;
  Board& board;
  SelfMetrics& metrics;
  /// First runs come within this time, so that a fresh daemon soon has something to say.
  config::Duration first_run_within{2'000};
};

/// What survives a restart, or a reload that changes the target.
struct JobMemory {
  std::optional<std::chrono::system_clock::time_point> last_success;
  std::vector<StoredFact> facts;
  std::string notes{};  ///< the probe's own
};

class Job {
 public:
  using Clock = net::TimerWheel::Clock;

  Job(const JobServices& services, JobSpec spec);
  /// Cancels a run that is under way; its result is dropped.
  ~Job();
  Job(const Job&) = delete;
  Job& operator=(const Job&) = delete;

  /// Begins with a first run at `first`; later runs follow at the job's own phase.
  void start(Clock::time_point first);
  /// Runs no more; a run under way is cancelled. For the end of the process.
  void stop();

  /// Takes the new settings of the same name. Kind and target being the same, the new probe
  /// inherits from the old one (once that does not run) and facts stay; else they go. Counters
  /// stay.
  void replace(JobSpec spec);

  /// Called once, when the first due time has come to anything.
  void on_first_end(std::function<void()> callback) { first_end_ = std::move(callback); }

  /// Whether the specification is the one in force (or waiting to be), so that nothing has to
  /// change.
  [[nodiscard]] bool same(const JobSpec& spec) const;

  /// Whether a run is under way, given up or not.
  [[nodiscard]] bool running() const;

  [[nodiscard]] const JobSpec& spec() const { return spec_; }
  [[nodiscard]] std::string target() const { return probe_->target(); }
  [[nodiscard]] JobMemory memory() const;
  void restore(const JobMemory& memory);
  /// Whether neither a run nor restore() has given it anything to remember.
  [[nodiscard]] bool knows_nothing() const { return !last_success_ && ledger_->facts().empty(); }
  /// What memory() gave last is on the disk, or cannot be.
  void saved();
  /// There is nothing that memory() could be saved to.
  void forgo_saving();
  /// Changes whenever memory() does, except for the last success.
  [[nodiscard]] std::uint64_t memory_version() const;

 private:
  struct Run;

  void due();
  void begin();
  static asio::awaitable<void> observe(std::shared_ptr<Run> run);
  static void finished(const std::shared_ptr<Run>& run, const std::exception_ptr& error);
  void withdraw();
  void deadline();
  void ended(std::optional<Failure> thrown);
  std::optional<bool> up_after(const std::optional<Failure>& failure);
  void skip(Outcome outcome);
  void install(JobSpec spec);
  void arm_next(Clock::time_point now);
  [[nodiscard]] Part framework_part() const;
  void count_parts(const SampleSet& set, const std::optional<Failure>& thrown);
  [[nodiscard]] std::string constant_labels() const;
  void note(const std::optional<Failure>& failure, const std::vector<CheckResult>& checks);
  void count(Outcome outcome);

  const JobServices& services_;
  JobSpec spec_;
  std::string endpoint_;
  std::shared_ptr<Probe> probe_;
  std::unique_ptr<JobSpec> next_spec_;  // waits for the end of a run
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<Board::Row> row_;
  net::Timer due_timer_;
  net::Timer deadline_timer_;
  std::shared_ptr<Run> run_;        // under way
  std::shared_ptr<Run> abandoned_;  // given up, perhaps not ended
  prometheus::Histogram* schedule_lag_ = nullptr;
  Clock::time_point next_due_{};
  bool phased_ = false;  // due times have come to the job's own phase
  Clock::time_point abandoned_at_{};
  std::function<void()> first_end_;

  // What the framework's series say.
  std::optional<bool> success_;
  std::optional<bool> up_;
  bool blind_ = false;  // the last run failed by a fault of ours
  double duration_ = 0;
  std::size_t parts_ok_ = 0;
  std::size_t parts_failed_ = 0;
  std::optional<std::chrono::system_clock::time_point> last_success_;
  std::array<std::uint32_t, kOutcomes.size()> runs_{};
  std::array<std::uint32_t, kReasons.size()> failures_{};
};

}  // namespace vitalsd
