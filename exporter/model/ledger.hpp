// The published lines of one probe: turns the sample sets of its runs into changes of the
// exposition by the rules for readings and facts. One ledger per probe, used on the probe loop.
//
// After a successful run, its set replaces everything that was published. After a failed run, the
// families that it added replace the same families. The other families follow these rules:
//   - Readings survive one failed run, so that a lost packet does not reset a pending alert. The
//     second failed run in a row removes them.
//   - Facts stay.
//   - If the target is overloaded, both stay and count as renewed, because the target responds.
//     Readings stay for at most one hour.
// decide() implements the rules as a pure function. An internal failure counts as any other failure
// here, although it carries no information about the target. The rules apply to each part by its
// own outcome. A part that is missing in a run that returned is removed; a run that threw may not
// have reached it. expire() removes readings that no run has renewed for too long.
#pragma once

#include "exporter/model/exposition.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/outcome.hpp"
#include "exporter/model/sample_set.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace vitalsd {

/// A fact in the form of the state file.
struct StoredFact {
  std::string part;
  std::string metric;
  std::vector<std::string> labels;
  double value = 0;
  std::string instance{};  ///< as in Part::set_instance
  bool operator==(const StoredFact&) const = default;
};

/// How a run, or a part of it, ended, for the lines that it did not renew.
enum class Ending : unsigned char { succeeded, failed, overloaded };

/// What happens to a line that a run did not renew.
enum class Retention : unsigned char {
  drop,
  keep,   ///< keep the line and mark it as missed
  renew,  ///< treat the line as renewed
};

/// `missed`: the previous run did not renew the line either. `overloaded_for`: the time since the
/// target became overloaded.
constexpr Retention decide(Ending ending, Keep keep, bool missed,
                           std::chrono::steady_clock::duration overloaded_for) {
  constexpr std::chrono::hours kMaxOverload{1};
  switch (ending) {
    case Ending::succeeded:
      return Retention::drop;
    case Ending::overloaded:
      if (keep == Keep::fact || overloaded_for < kMaxOverload) return Retention::renew;
      return Retention::drop;
    case Ending::failed:
      break;
  }
  // A fact contains its own time (a date), so it does not become stale.
  if (keep == Keep::fact || !missed) return Retention::keep;
  return Retention::drop;
}

class Ledger {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// Every line has `constant_labels`:
  /// `probe="main-db",environment="production",instance="main-db"`.
  Ledger(Exposition& exposition, std::string probe, std::string constant_labels);
  /// Removes all published lines.
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// Publishes the set of a run and the framework's series atomically. `thrown` is the failure that
  /// the run threw. If the run returned, `thrown` is empty and the set has the outcome.
  void publish(const SampleSet& set, const std::optional<Failure>& thrown, const Part& framework,
               Time now);
  /// Publishes the framework's series only. All other lines stay unchanged.
  void publish(const Part& framework);

  /// Removes the readings that were last renewed before `oldest`.
  void expire(Time oldest);

  /// Whether samples of the probe itself, not of its parts, are published for `metric`.
  [[nodiscard]] bool holds(const MetricInfo& metric) const;
  /// Whether publish() at `now` keeps the samples of `metric` after a run with this `failure` and
  /// no new samples of it.
  [[nodiscard]] bool keeps(const MetricInfo& metric, const std::optional<Failure>& failure,
                           Time now) const;

  /// The number of samples left out because the same set already had their metric and labels. More
  /// than 0 is a bug of vitalsd.
  [[nodiscard]] std::size_t duplicates() const { return duplicates_; }

  [[nodiscard]] const std::string& constant_labels() const { return constant_labels_; }

  [[nodiscard]] std::vector<StoredFact> facts() const;
  /// Publishes stored facts before the first run. Ignores facts whose metric is not in `metrics` or
  /// has other labels.
  void restore(const std::vector<StoredFact>& facts, std::span<const MetricInfo* const> metrics);

  /// Increases whenever facts change, so that the state file is written only then.
  [[nodiscard]] std::uint64_t fact_version() const { return fact_version_; }

 private:
  static constexpr std::uint32_t kNothingPending = UINT32_MAX >> 1;
  struct Line {  // one family of one part
    const MetricInfo* metric;
    Exposition::Chunk chunk;
    std::uint32_t pending : 31 = kNothingPending;  // index of new lines in the Batch or fragment
    bool missed : 1 = false;                       // the last run failed and did not renew it
    Time renewed{};
  };
  struct Attached {
    Fragment fragment;
    std::vector<Line> lines;  // in the order of the fragment's families
  };
  struct FactValue {
    const MetricInfo* metric;
    std::string labels;  // in the form of Sample::labels
    double value;
    std::string instance;
    bool operator==(const FactValue&) const = default;
  };
  struct PartState {
    std::string key{};
    std::vector<Line> lines{};
    std::vector<Attached> attached{};  // by position of the fragment, empty ones included
    std::vector<FactValue> facts{};
    std::optional<Time> overloaded_since{};
  };
  /// The changes of one publish(): rendered lines, and the chunks of removed lines.
  struct Batch {
    Rendering rendering;
    std::vector<Exposition::Chunk> removed;
  };

  static Ending ending_of(const std::optional<Failure>& failure);
  static bool survives(Line& line, const PartState& state, Ending ending, Time now);
  static Retention retention_of(const Line& line, const PartState& state, Ending ending, Time now);
  static void drop(PartState& state, Batch& batch);
  static void drop(Attached& attached, Batch& batch);
  static void replace(Attached& attached, const Fragment& fragment, Time now, Batch& batch);
  void apply(PartState& state, const Part& part, Ending ending, Time now, Batch& batch,
             RenderedLabels* rendered = nullptr);
  static void apply_fragments(PartState& state, const Part& part,
                              std::span<const MetricInfo* const> added, Ending ending, Time now,
                              Batch& batch);
  static bool same_facts(const PartState& state, const Part& part);
  void apply_facts(PartState& state, const Part& part);
  void commit(Batch& batch);
  template <class Do>
  void for_each_line(Do&& action);

  Exposition& exposition_;
  std::string constant_labels_;
  Exposition::Owner owner_;
  PartState framework_;
  std::vector<PartState> parts_;                         // the first one is the probe itself
  std::unordered_map<std::string, std::size_t> places_;  // indices of the other parts, by key
  std::size_t duplicates_ = 0;
  std::uint64_t fact_version_ = 0;
};

}  // namespace vitalsd
