// Keeps what survives a restart: reads the state file when this process begins to observe, gives
// each job what is known of it, saves it while it changes and once more at the end. Files are
// touched on one thread of its own, in the order in which that is asked for, so that there is one
// writer and a disk that hangs stops nothing else. Probe loop only.
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

/// Tests are in a greater hurry than people.
struct StatePace {
  std::chrono::milliseconds save{10'000};      ///< at most this often while memory changes
  std::chrono::milliseconds anyway{300'000};   ///< times of success alone are not worth more
  std::chrono::milliseconds unsaved{1'000};    ///< where there is no directory
  std::chrono::milliseconds patience{10'000};  ///< with a disk that does not answer
};

class StateKeeper {
 public:
  StateKeeper(asio::io_context& loop, net::TimerWheel& wheel, Scheduler& scheduler,
              const Leadership& leadership, SelfMetrics& metrics, const Shard& shard,
              const StatePace& pace = {});
  StateKeeper(const StateKeeper&) = delete;
  StateKeeper& operator=(const StateKeeper&) = delete;

  /// The directory of the configuration in force; empty: memory does not survive a restart.
  void set_directory(const std::string& directory);

  /// Reads the state, for jobs that begin now; then, or when the disk has not answered in time,
  /// calls `done`. Without a directory that is at once.
  void begin(std::function<void()> done);
  /// Whether begin() has come to `done`.
  [[nodiscard]] bool begun() const { return stage_ == Stage::begun; }

  /// Gives a new job what an earlier process knew, if it is still about the same target.
  void recall(Job& job) const;
  /// All jobs have been given what is known of them.
  void forget() { recalled_.clear(); }

  /// Saves if there is something to save and the last time was long enough ago.
  void save_if_due();
  /// Saves once more, whatever the time; a file that others have changed is read first.
  void finish();
  /// Another process observes: writes no more, also not what is being written, and releases the
  /// lock.
  void end();

  /// Whether nothing is being read or written.
  [[nodiscard]] bool idle() const { return pending_ == 0; }

 private:
  using Clock = std::chrono::steady_clock;
  enum class Stage : unsigned char { ended, reading, begun };

  void open();
  void load();
  void read(const std::expected<SavedState, StateFile::Unusable>& state);
  void begun_now();
  void go_without(const std::string& problem);
  void give_up_reading();
  void give_late();
  void save();
  void report(const StateFile::Result& result);
  [[nodiscard]] std::uint64_t version() const;
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
  std::shared_ptr<StateFile> file_;  // used on the thread only
  net::StopFlag stop_;               // of what is submitted with file_
  Stage stage_ = Stage::ended;
  bool readable_ = false;  // the file has been read: it may be replaced
  std::function<void()> done_;
  SavedState recalled_;
  std::size_t pending_ = 0;
  bool saving_ = false;
  bool finishing_ = false;
  std::optional<std::uint64_t> saved_version_;  // none: it is due
  Clock::time_point saved_at_{};
  std::string problem_;  // what was last logged
  net::Timer patience_;
  net::Offload thread_;
};

}  // namespace vitalsd
