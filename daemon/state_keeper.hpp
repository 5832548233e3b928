// Decides when state is read and saved: reads the state file when this process starts to observe,
// restores each job from it, saves changes periodically, and saves once more at shutdown. File
// access runs on one thread of its own, in the order of the requests, so there is one writer, and a
// hanging disk blocks nothing else. Probe loop only.
#pragma once

#include "daemon/leadership.hpp"
#include "daemon/scheduler.hpp"
#include "daemon/self_metrics.hpp"
#include "daemon/state_file.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/shard.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <functional>
#include <memory>
#include <optional>
#include <string>

#include <boost/asio/io_context.hpp>

namespace vitalsd {

/// Intervals and timeouts. Tests use shorter ones.
struct StatePace {
  std::chrono::milliseconds min_interval{10'000};  ///< between saves of changed facts and notes
  std::chrono::milliseconds max_interval{
      300'000};  ///< for saving times of success, which change at every run
  /// The interval between calls of Job::skip_saving(), and the minimum interval between saves of
  /// save_soon().
  std::chrono::milliseconds short_interval{1'000};
  std::chrono::milliseconds read_timeout{10'000};  ///< for reading the file at start
};

class StateKeeper {
 public:
  StateKeeper(asio::io_context& loop, net::TimerWheel& wheel, Scheduler& scheduler,
              const Leadership& leadership, SelfMetrics& metrics, const Shard& shard,
              const StatePace& pace = {});
  /// Called when the problem that prevents reading or saving changes. The text is empty when the
  /// problem is solved.
  std::function<void(const std::string&)> on_problem = [](const std::string&) {};
  /// Called when the file has been read. The text says why the state is lost; empty if it is not
  /// lost.
  std::function<void(const std::string&)> on_read = [](const std::string&) {};

  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  /// Sets the directory of the current configuration. If it is empty, state does not survive a
  /// restart.
  void set_directory(const std::string& directory);

  /// Reads the state. Calls `done` when the state has been read, or reading has failed or timed
  /// out; immediately if there is no directory.
  void start(std::function<void()> done);
  /// Whether start() has called `done` and stop() has not been called afterwards.
  [[nodiscard]] bool has_started() const { return stage_ == Stage::started; }

  /// Restores a new job from the state that was read, if kind and target are the same. If it cannot
  /// be read yet, a job with notes waits for it.
  void restore(Job& job) const;
  /// Discards the state that was read, after all jobs were restored.
  void discard_restored() { loaded_.clear(); }

  /// Saves if the state has changed and the interval since the last save has passed.
  void save_if_due();
  /// Saves a change without waiting for the interval of save_if_due(), because the sender of a
  /// request waits until the change is saved. Saves at most once a second, and less often if saving
  /// takes long.
  void save_soon();
  /// Saves once more without waiting for the interval. If another process has changed the file,
  /// reads it first.
  void finish();
  /// Called when another process takes over: cancels a save in progress, saves no more, and
  /// releases the lock.
  void stop();

  /// Whether no file operation is pending.
  [[nodiscard]] bool idle() const { return pending_count_ == 0; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stage : unsigned char { stopped, reading, started };

  void open();
  void load();
  void read(const std::expected<SavedState, StateFile::Unusable>& state);
  void finish_start();
  void report_unreadable(const std::string& problem);
  bool set_problem(const std::string& problem);
  void time_out_reading();
  void restore_late();
  void end_waits();
  void save();
  void refuse_saving();
  void report(const StateFile::Result& result);
  [[nodiscard]] std::uint64_t version() const;
  [[nodiscard]] const JobMemory* saved_of(const Job& job) const;
  [[nodiscard]] SavedState current() const;
  template <class Work, class Then>
  void submit(Work work, Then then);

  asio::io_context& loop_;
  net::TimerWheel& wheel_;
  Scheduler& scheduler_;
  const Leadership& leadership_;
  SelfMetrics& metrics_;
  Shard shard_;
  StatePace pace_;
  std::string directory_;
  std::string opened_;               // the directory of file_
  std::shared_ptr<StateFile> file_;  // its methods run on thread_ only
  net::StopFlag stop_;               // cancels saves of file_
  Stage stage_ = Stage::stopped;
  bool is_readable_ = false;  // the file was read, so it may be replaced
  std::function<void()> done_;
  SavedState loaded_;              // of jobs that do not exist yet
  std::size_t pending_count_ = 0;  // file operations
  bool is_saving_ = false;
  bool is_finishing_ = false;
  bool is_urgent_ = false;
  std::optional<std::uint64_t> saved_version_;  // empty: saving is due
  std::optional<Clock::time_point> saved_at_;
  std::uint64_t last_save_ = 0;  // sequence number
  Clock::duration save_duration_{};
  std::string problem_;  // the last one that was logged
  net::Timer read_timer_;
  net::Offload thread_;
};

}  // namespace vitalsd
