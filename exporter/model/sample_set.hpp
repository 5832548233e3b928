// The result of one run of a probe: samples, readings of checks and the outcome, for the probe as a
// whole and for each of the objects ("parts") that it observes. One run fills it on the probe loop
// and passes it to the Ledger. It has no data of earlier runs.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/histogram.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/metric_ref.hpp"
#include "exporter/model/outcome.hpp"

#include <chrono>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

namespace vitalsd {

/// Why something failed: the reason is for metrics, the detail for logs and pages. The detail
/// contains the target's error message, if there is one. SampleSet::overall() removes secrets.
struct Failure {
  Reason reason = Reason::internal;
  std::string detail;
};

/// The lines of several families in one text.
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

/// A fragment is a part of a large set that the probe renders only when the described object
/// changes. The sets of all runs until then share it. It has lines of several families; the lines
/// of a family with the same keeper and the same address as before have not changed.
struct FragmentFamily {
  MetricRef metric;
  std::string_view lines;
  std::shared_ptr<const void> keeper;  ///< owns the memory of `lines`
};
using Fragment = std::shared_ptr<const std::vector<FragmentFamily>>;

/// All families of a rendering as one fragment.
Fragment to_fragment(Rendering rendering);

struct Sample {
  const MetricInfo* metric;
  double value;
  std::string_view labels;  ///< the values in declared order, each followed by NUL
};

/// The rendered labels, by metric and instance. Used to detect two parts of a set with the same
/// object.
using RenderedLabels =
    std::map<std::pair<const MetricInfo*, std::string_view>, std::unordered_set<std::string_view>>;

/// Samples and outcome of one object.
class Part {
 public:
  /// Sets the label `instance` of all samples of this part. For a probe of several targets: the
  /// name of the node, `host:port`, or the pod. By default it is the name of the probe. Lines of
  /// attached fragments are not affected: they have the instance of the part that was rendered.
  void set_instance(std::string_view name);

  /// Adds a sample with one label value for each declared label. Ignores NaN.
  template <std::size_t N, std::convertible_to<std::string_view>... Values>
    requires(sizeof...(Values) == N)
  void add(const Metric<N>& metric, double value, const Values&... labels) {
    add_values(metric, value, {std::string_view(labels)...});
  }

  /// Adds a sample if there is a value.
  template <std::size_t N, class T, std::convertible_to<std::string_view>... Values>
    requires(sizeof...(Values) == N)
  void add(const Metric<N>& metric, const std::optional<T>& value, const Values&... labels) {
    if (value) add(metric, static_cast<double>(*value), labels...);
  }

  /// Adds a sample of a metric whose labels are known at run time only.
  void add_values(const MetricInfo& metric, double value,
                  std::initializer_list<std::string_view> labels);
  void add_values(const MetricInfo& metric, double value, std::span<const std::string_view> labels);

  /// Adds the lines of a fragment, which already have all labels, including the constant ones. The
  /// n-th fragment of a run replaces the n-th fragment of the previous run. A null fragment has no
  /// lines, but is counted.
  void attach(Fragment fragment) { fragments_.push_back(std::move(fragment)); }

  /// Counts samples that the code that rendered a fragment left out because another sample had the
  /// same metric and labels.
  void count_duplicates(std::size_t count) { duplicates_ += count; }

  /// Adds a reading of a declared check. `object` distinguishes several readings of one check.
  /// `thresholds` come from the probe (an option, a limit of the target) and override the declared
  /// ones. The thresholds of the configuration override both.
  void check(const Check& check, double reading, std::string_view object = {},
             const Thresholds& thresholds = {});

  /// Reports a failure: the target was observed but is not healthy, or (in a part) could not be
  /// observed. Only the first failure is kept.
  void fail(Reason reason, std::string detail);

  /// Marks this part as complete. Only necessary if the run observes parts one after another: parts
  /// that are not complete when the run throws fail with it.
  void complete() { complete_ = true; }

  /// Removes the samples and the instance, but keeps their memory.
  void clear() {
    entries_.clear();
    labels_.clear();
    instance_.clear();
  }

  /// Empty by default.
  [[nodiscard]] const std::string& instance() const { return instance_; }
  [[nodiscard]] const std::optional<Failure>& failure() const { return failure_; }
  [[nodiscard]] bool is_complete() const { return complete_; }
  [[nodiscard]] const std::vector<CheckResult>& checks() const { return checks_; }
  [[nodiscard]] const std::vector<Fragment>& fragments() const { return fragments_; }
  [[nodiscard]] std::size_t size() const { return entries_.size(); }
  [[nodiscard]] Sample sample(std::size_t index) const;

  /// Appends the samples as lines, grouped by family in the order in which families were first
  /// added. Every line starts with `constant_labels` (`probe="x",environment="y",instance="x"`), in
  /// which the instance of this part replaces the last label. A second sample with the same metric
  /// and labels is left out. `duplicates` is increased by the number of such samples and by those
  /// of count_duplicates(). With `rendered`, duplicates are detected across all parts that share
  /// it: it collects the rendered labels and refers to the memory of the parts.
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
  std::string labels_;  // all label values, each ended by NUL
  std::string instance_;
  std::vector<Fragment> fragments_;
  std::size_t duplicates_ = 0;  // in fragments
  std::vector<CheckResult> checks_;
  std::optional<Failure> failure_;
  bool complete_ = false;
};

/// Appends `name{constant_labels,own labels} value` and a newline; `labels` as in Sample.
void append_line(std::string& out, const MetricInfo& metric, std::string_view constant_labels,
                 std::string_view labels, double value);

/// The result of a whole run. Samples of the set itself belong to the probe as a whole.
class SampleSet : public Part {
 public:
  using Parts = std::map<std::string, Part, std::less<>>;

  /// The part with this key, created on first use. The reference is valid as long as the set.
  Part& part(std::string_view key);
  [[nodiscard]] const Parts& parts() const { return parts_; }

  /// The failure of a part. `thrown` is the failure that the run threw; empty if the run returned.
  /// A part that was not complete when the run threw has the failure of the run.
  static const std::optional<Failure>& outcome_of(const Part& part,
                                                  const std::optional<Failure>& thrown) {
    return part.failure() || part.is_complete() ? part.failure() : thrown;
  }

  /// The failure of the run as a whole, if it failed: `thrown`, the failure of the set itself, or
  /// the failure of the first failed part. The detail is shown().
  [[nodiscard]] std::optional<Failure> overall(const std::optional<Failure>& thrown) const;

  using Part::add;
  /// Adds a histogram with one label value for each declared label. Probes that add several must
  /// add them in the same order in each run.
  template <std::size_t B, std::size_t N, std::convertible_to<std::string_view>... Values>
    requires(sizeof...(Values) == N)
  void add(const Histogram<B, N>& metric, const HistogramCounts& counts, const Values&... labels) {
    const std::initializer_list<std::string_view> values = {std::string_view(labels)...};
    add_histogram(metric, counts, std::span(values.begin(), values.size()));
  }

  /// Replaces `secret` by *** in everything that this run shows. Ignores texts of fewer than four
  /// characters, because they occur in many words.
  void conceal(std::string secret);

  /// A text of the target as logs, pages and terminals show it: one line of at most `max_size`
  /// bytes, without secrets and control characters (shown_text()).
  [[nodiscard]] std::string shown(std::string_view text, std::size_t max_size = 500) const;

  /// The time limit of this run, for servers that accept a timeout in the request.
  void set_time_limit(std::chrono::milliseconds limit) { time_limit_ = limit; }
  [[nodiscard]] std::chrono::milliseconds time_limit() const { return time_limit_; }

  /// The first labels of every line of the probe, for code that renders fragments.
  void set_constant_labels(std::string labels) { constant_labels_ = std::move(labels); }
  [[nodiscard]] const std::string& constant_labels() const { return constant_labels_; }

  /// Adds lines to the message of the target for the status page.
  void show(std::string_view lines);
  /// At most 10,000 bytes, without secrets and control characters (shown_lines()).
  [[nodiscard]] std::string message() const;

  /// Sets the current step ("connecting to 10.0.0.1:5432"), which is reported if the deadline
  /// passes. The run then fails with `late`, which is internal for a step that does not wait for
  /// the target.
  void doing(std::string step, Reason late = Reason::timeout) {
    step_ = std::move(step);
    late_ = late;
  }
  [[nodiscard]] const std::string& step() const { return step_; }
  [[nodiscard]] Reason late() const { return late_; }

 private:
  void add_histogram(const MetricInfo& metric, const HistogramCounts& counts,
                     std::span<const std::string_view> labels);
  [[nodiscard]] std::optional<Failure> first_failure(const std::optional<Failure>& thrown) const;
  [[nodiscard]] std::string without_secrets(std::string_view text, std::size_t max_size) const;

  Parts parts_;
  std::string step_;
  Reason late_ = Reason::timeout;
  std::string message_;
  std::vector<std::string> secrets_;
  std::string constant_labels_;
  std::chrono::milliseconds time_limit_{10'000};
};

}  // namespace vitalsd
