// The framework's series of one probe (framework_metrics.hpp): counts due times by outcome and
// failures by reason, and keeps the results of the last run. Probe loop only.
#pragma once

#include "exporter/model/outcome.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/probe.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <utility>

namespace vitalsd {

class Account {
 public:
  using SystemTime = std::chrono::system_clock::time_point;
  /// When the facts of each part were last observed. The probe itself has an empty key.
  using FactTimes = std::map<std::string, SystemTime, std::less<>>;

  /// Records a run that ended at `now`. `failure` is that of the whole run (SampleSet::overall),
  /// `thrown` the failure that it threw, which also applies to its unfinished parts.
  void add_run(const SampleSet& set, const std::optional<Failure>& failure,
               const std::optional<Failure>& thrown, std::chrono::duration<double> duration,
               SystemTime now);
  /// Records due times without a run. The results of the last run stay.
  void add_skipped(std::size_t count = 1);
  /// Records a due time that passed while the previous run, already cancelled, had not ended.
  void add_stuck();

  /// Discards the results, which belong to a target that is no longer observed. The counts and the
  /// duration stay.
  void forget_results() { results_ = {}; }

  void set_last_success(SystemTime time) { results_.last_success = time; }
  [[nodiscard]] std::optional<SystemTime> last_success() const { return results_.last_success; }
  void set_fact_times(FactTimes times) { results_.fact_times = std::move(times); }
  [[nodiscard]] const FactTimes& fact_times() const { return results_.fact_times; }
  /// The duration of the last run in seconds.
  [[nodiscard]] double duration() const { return duration_; }
  [[nodiscard]] std::uint32_t count(Outcome outcome) const {
    return outcomes_[static_cast<std::size_t>(outcome)];
  }

  /// The samples to publish: counters from the start, results once there are any.
  [[nodiscard]] Part samples(const ProbeKind& kind) const;

 private:
  struct Results {
    std::optional<bool> success;
    std::optional<bool> up;
    std::size_t parts_ok = 0;
    std::size_t parts_failed = 0;
    std::optional<SystemTime> last_success;
    FactTimes fact_times;
    SystemTime last_run = SystemTime::max();  // max before the first run and while a run is stuck
  };

  [[nodiscard]] std::optional<bool> up_after(const std::optional<Failure>& failure) const;
  void update_fact_times(const SampleSet& set, const std::optional<Failure>& thrown);
  [[nodiscard]] std::optional<SystemTime> oldest_stale_fact() const;
  void count_parts(const SampleSet& set, const std::optional<Failure>& thrown);

  Results results_;
  bool is_internal_failure_ = false;  // of the last run
  double duration_ = 0;
  std::array<std::uint32_t, kOutcomes.size()> outcomes_{};
  std::array<std::uint32_t, kReasons.size()> failures_{};
};

}  // namespace vitalsd
