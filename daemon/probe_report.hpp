// What the pages show of one probe, and the log of its changes, which the pages show too. Both use
// verdict(). Probe loop only.
#pragma once

#include "daemon/board.hpp"
#include "exporter/model/sample_set.hpp"
#include "exporter/web/events.hpp"
#include "exporter/web/verdict.hpp"
#include "exporter/web/view.hpp"

#include <chrono>
#include <memory>
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
    std::shared_ptr<const std::vector<std::pair<std::string, std::string>>> options{};
    std::chrono::milliseconds interval{};
    std::chrono::milliseconds timeout{};
  };
  /// Shows new settings. Results and changes stay only if they are of the same target.
  void configure(Settings settings, bool same_target);
  void set_last_success(std::optional<Time> time);
  void set_next_run(Time time);

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
  void record_run(const Before& before, std::optional<Time> was_down_since);
  void record_checks(const std::vector<CheckView>& before);
  void record(ProbeEvent event);

  Board::Row row_;
  Verdict verdict_ = Verdict::unknown;
};

}  // namespace vitalsd
