// What one run of a probe has to say: samples, readings of checks, and how it ended, for the probe
// as a whole and for each of the objects ("parts") that it watches. Filled on the probe loop by one
// run, then handed to the Ledger. Knows nothing of what earlier runs said.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/outcome.hpp"

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vitalsd {

/// Why something failed: the reason for metrics, the detail for logs and pages. The detail names
/// the target's own words where there are any, and never a secret.
struct Failure {
  Reason reason = Reason::internal;
  std::string detail;
};

/// Lines of several families, rendered one after another into one text.
struct Rendering {
  struct Family {
    const MetricInfo* metric;
    std::size_t begin;  ///< in `text`
    std::size_t size;
  };
  std::string text;
  std::vector<Family> families;

  [[nodiscard]] std::string_view lines(const Family& family) const {
    return std::string_view(text).substr(family.begin, family.size);
  }
};

/// A piece of a large set that its owner renders anew only when what it describes has changed, and
/// that the sets of many runs share meanwhile: lines of several families. Those of a family that
/// are kept by the same as before, at the same place, have not changed.
struct FragmentFamily {
  const MetricInfo* metric;
  std::string_view lines;
  std::shared_ptr<const void> keeper;  ///< of `lines`
};
using Fragment = std::shared_ptr<const std::vector<FragmentFamily>>;

/// All of a rendering, kept whole.
Fragment to_fragment(Rendering rendering);

struct Sample {
  const MetricInfo* metric;
  double value;
  std::string_view labels;  ///< the values in declared order, each followed by NUL
};

/// Which labels have been rendered of each metric: the same object may come in two parts of a set.
using RenderedLabels = std::unordered_map<const MetricInfo*, std::unordered_set<std::string_view>>;

/// Samples and outcome of one object.
class Part {
 public:
  /// Adds a sample; one label value for each declared label. NaN is not a value: it is left out.
  template <std::size_t N, std::convertible_to<std::string_view>... Values>
    requires(sizeof...(Values) == N)
  void add(const Metric<N>& metric, double value, const Values&... labels) {
    add_values(metric, value, {std::string_view(labels)...});
  }

  /// Adds the sample only if there is a value: unknown is omitted.
  template <std::size_t N, class T, std::convertible_to<std::string_view>... Values>
    requires(sizeof...(Values) == N)
  void add(const Metric<N>& metric, const std::optional<T>& value, const Values&... labels) {
    if (value) add(metric, static_cast<double>(*value), labels...);
  }

  /// Adds a sample of a metric whose labels are known at run time only.
  void add_values(const MetricInfo& metric, double value,
                  std::initializer_list<std::string_view> labels);
  void add_values(const MetricInfo& metric, double value, std::span<const std::string_view> labels);

  /// Adds lines that somebody else keeps. They carry all their labels, the constant ones included.
  /// The n-th fragment of a run takes the place of the n-th of the run before; null has no lines
  /// and keeps the place.
  void attach(Fragment fragment) { fragments_.push_back(std::move(fragment)); }

  /// A reading of a declared check; `object` tells it from others of the same check. `thresholds`
  /// are for what the probe itself knows (an option, a limit of the target): they go before the
  /// declared ones, and the configuration's go before both.
  void check(const Check& check, double reading, std::string_view object = {},
             const Thresholds& thresholds = {});

  /// Observed, but not as it should be, or (in a part) not observed. The first failure counts.
  void fail(Reason reason, std::string detail);

  /// Says that this part is complete. Needed only where parts are observed one after another: those
  /// that are not complete when the run throws count as failed with it.
  void complete() { complete_ = true; }

  /// Forgets the samples, but keeps the room for them.
  void clear() {
    entries_.clear();
    labels_.clear();
  }

  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  [[nodiscard]] bool is_complete() const { return complete_; }
  [[nodiscard]] const std::vector<CheckResult>& checks() const { return checks_; }
  [[nodiscard]] const std::vector<Fragment>& fragments() const { return fragments_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] Sample sample(std::size_t index) const;

  /// Appends the samples as lines, grouped by family in the order in which families were first
  /// added; every line carries `constant_labels` (`probe="x",environment="y"`) first. A second
  /// sample of the same metric and labels is left out and counted in `duplicates`; so is one that
  /// is in `rendered` already, if that is given, where all that is rendered is added (as long as
  /// the parts live).
  void render(Rendering& out, std::string_view constant_labels, std::size_t& duplicates,
              RenderedLabels* rendered = nullptr) const;

 private:
  struct Entry {
    const MetricInfo* metric;
    double value;
    std::uint32_t labels_at;
    std::uint32_t labels_size;
  };

  std::vector<Entry> entries_;
  std::string labels_;  // all label values, one after another
  std::vector<Fragment> fragments_;
  std::vector<CheckResult> checks_;
  std::optional<Failure> failure_;
  bool complete_ = false;
};

/// Appends `name{constant_labels,own labels} value` and a newline; `labels` as in Sample.
void append_line(std::string& out, const MetricInfo& metric, std::string_view constant_labels,
                 std::string_view labels, double value);

/// A whole run. What is added to the set itself belongs to the probe as such.
class SampleSet : public Part {
 public:
  using Parts = std::map<std::string, Part, std::less<>>;

  /// The part of this name, opened on first use. A reference stays valid as long as the set.
  Part& part(std::string_view key);
  [[nodiscard]] const Parts& parts() const { return parts_; }

  /// How a part came out of a run that threw `thrown`, or returned: those that it was still busy
  /// with when it threw failed as the run did.
  static const std::optional<Failure>& outcome_of(const Part& part,
                                                  const std::optional<Failure>& thrown) {
    return part.failure() || part.is_complete() ? part.failure() : thrown;
  }

  /// Why the run as a whole failed, if it did: what it threw, what it said of itself, or the first
  /// of its parts that failed. The detail is fit to be shown: without secrets, without what a
  /// terminal would obey, of a length that a log can bear.
  [[nodiscard]] std::optional<Failure> overall(const std::optional<Failure>& thrown) const;

  /// A secret that the run uses: wherever it appears in a failure, it is replaced. Texts of fewer
  /// than four characters are not, as they appear everywhere.
  void conceal(std::string secret);

  /// How long this run may take: for servers that can be told to give up by themselves.
  void set_time_limit(std::chrono::milliseconds limit) { time_limit_ = limit; }
  [[nodiscard]] std::chrono::milliseconds time_limit() const { return time_limit_; }

  /// What every line of the probe begins with, for those who render fragments.
  void set_constant_labels(std::string labels) { constant_labels_ = std::move(labels); }
  [[nodiscard]] const std::string& constant_labels() const { return constant_labels_; }

  /// What the run is about to do ("connecting to 10.0.0.1:5432"), told if the deadline passes.
  void doing(std::string step) { step_ = std::move(step); }
  [[nodiscard]] const std::string& step() const { return step_; }

 private:
  [[nodiscard]] std::optional<Failure> first_failure(const std::optional<Failure>& thrown) const;

  Parts parts_;
  std::string step_;
  std::vector<std::string> secrets_;
  std::string constant_labels_;
  std::chrono::milliseconds time_limit_{10'000};
};

}  // namespace vitalsd
