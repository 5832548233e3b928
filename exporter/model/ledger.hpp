// What one probe has published and still may: turns the sets of its runs into changes of the
// exposition by the rules for readings and facts. One ledger a probe, used on the probe loop.
//
// After a run that succeeded, its set replaces all that was published. After one that failed, what
// it added replaces the same families; of the others,
//   - readings survive one failed run, so that a lost packet does not reset a pending alert, and go
//     with the second in a row;
//   - facts stay;
//   - both stay, and count as renewed, if the target is overloaded: it answers, it is just full;
//     readings for an hour, after which nobody knows what they would be.
// decide() has them, pure. A failure of our own (internal) is one like any other here: it says
// nothing of the target. These rules hold for each part by its own outcome. A part that a run which
// returned does not name is gone; a run that threw may not have come to it. Readings that nothing
// has renewed for too long are dropped by expire().
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

/// A fact as the state file keeps it.
struct StoredFact {
  std::string part;
  std::string metric;
  std::vector<std::string> labels;
  double value = 0;
  bool operator==(const StoredFact&) const = default;
};

/// How a run, or a part of it, has ended for what it did not renew.
enum class Ending : unsigned char { succeeded, failed, overloaded };

/// What becomes of a line that a run did not renew.
enum class Retention : unsigned char {
  drop,
  keep,   ///< and count it as missed
  renew,  ///< as if the run had renewed it
};

/// `missed`: the run before did not renew it either. `overloaded_for`: how long the target has been
/// overloaded.
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
  // A fact says when it was true (a date): age takes nothing from it.
  if (keep == Keep::fact || !missed) return Retention::keep;
  return Retention::drop;
}

class Ledger {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// `constant_labels` stand on every line: `probe="main-db",environment="production"`.
  Ledger(Exposition& exposition, std::string probe, std::string constant_labels);
  /// Takes back all that was published.
  ~Ledger();
  Ledger(const Ledger&) = delete;
  Ledger& operator=(const Ledger&) = delete;

  /// Publishes a run's set and the framework's own series at once. `thrown` is the failure that the
  /// run threw; a run that returned has none, and then the set itself says how it went.
  void publish(const SampleSet& set, const std::optional<Failure>& thrown, const Part& framework,
               Time now);
  /// Publishes the framework's series alone, all else staying as it is.
  void publish(const Part& framework);

  /// Drops the readings that were last renewed before `oldest`.
  void expire(Time oldest);

  /// Samples that were left out because their labels had been used in the same set: a fault of
  /// ours.
  [[nodiscard]] std::size_t duplicates() const { return duplicates_; }

  [[nodiscard]] const std::string& constant_labels() const { return constant_labels_; }

  [[nodiscard]] std::vector<StoredFact> facts() const;
  /// Publishes stored facts, before the first run. Those whose metric is not among `metrics`, or
  /// whose labels do not fit it, are ignored.
  void restore(const std::vector<StoredFact>& facts, std::span<const MetricInfo* const> metrics);

  /// Counts up whenever facts change, so that they are written only then.
  [[nodiscard]] std::uint64_t fact_version() const { return fact_version_; }

 private:
  static constexpr std::uint32_t kNothingPending = UINT32_MAX >> 1;
  struct Line {  // one family of one part
    const MetricInfo* metric;
    Exposition::Chunk chunk;
    std::uint32_t pending : 31 = kNothingPending;  // index of its new lines in the Batch
    bool missed : 1 = false;                       // the last run failed and did not renew it
    Time renewed{};
  };
  struct Attached {
    Fragment fragment;
    std::vector<Line> lines;  // in the order of the fragment's families
  };
  struct FactValue {
    const MetricInfo* metric;
    std::string labels;  // as Sample::labels
    double value;
    bool operator==(const FactValue&) const = default;
  };
  struct PartState {
    std::string key{};
    std::vector<Line> lines{};
    std::vector<Attached> attached{};  // a place each, empty ones included
    std::vector<FactValue> facts{};
    std::optional<Time> overloaded_since{};
  };
  /// What one publish() changes: pending lines, and chunks whose lines are gone already.
  struct Batch {
    Rendering rendering;
    std::vector<Exposition::Chunk> removed;
  };

  static Ending ending_of(const std::optional<Failure>& failure);
  static bool survives(Line& line, const PartState& state, Ending ending, Time now);
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
  std::vector<PartState> parts_;                         // the probe itself first
  std::unordered_map<std::string, std::size_t> places_;  // of the other parts, by key
  std::size_t duplicates_ = 0;
  std::uint64_t fact_version_ = 0;
};

}  // namespace vitalsd
