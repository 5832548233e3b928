// What the status page shows of one probe, and the log of its changes. Both use verdict(). Probe
// loop only.
#pragma once

#include "daemon/board.hpp"
#include "exporter/model/sample_set.hpp"
#include "exporter/web/verdict.hpp"
#include "exporter/web/view.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

class ProbeReport {
 public:
  using Time = ProbeView::Time;

  ProbeReport(Board& board, const std::string& name);

  struct Settings {
    std::string_view kind;
    std::string target;
    std::vector<std::pair<std::string, std::string>> labels;
    std::chrono::milliseconds interval{};
  };
  /// Shows new settings. Results stay only if they are of the same target.
  void configure(Settings settings, bool same_target);
  void set_last_success(std::optional<Time> time);

  struct Run {
    std::optional<Failure> failure;
    bool waits = false;  ///< the run succeeded, but the first report has not arrived yet
    std::string message;
    std::vector<CheckView> checks;
    /// The run has no checks, and the published results of the previous run are kept.
    bool keeps_checks = false;
    std::chrono::duration<double> duration{};
    std::optional<Time> last_success;
  };
  /// Shows a run. Logs a change of the verdict, of the reason of a failure, and of each check.
  void add_run(Run run);

  /// Shows a due time without a run. `is_stale`: the last run is too long ago to tell the state.
  /// `keeps_checks`: the published results of checks are kept.
  void add_skipped(bool is_stale, bool keeps_checks);
  /// Shows a due time at which a cancelled run has not ended.
  void add_stuck(bool keeps_checks);

  [[nodiscard]] Verdict verdict() const { return verdict_; }

 private:
  struct Before {
    ProbeView::State state;
    std::string_view reason;
    Verdict verdict;
  };

  [[nodiscard]] const ProbeView& view() const { return row_.view(); }
  void update_verdict(ProbeView& view);
  void log_run(const Before& before) const;
  void log_checks(const std::vector<CheckView>& before) const;

  Board::Row row_;
  Verdict verdict_ = Verdict::unknown;
  std::optional<Time> down_since_;  // failed, stuck or stale
};

}  // namespace vitalsd
