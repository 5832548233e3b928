// The number of objects that each namespace, selector and pattern of a configuration selects. A
// typing error in any of them selects nothing without any error: the API server, for example,
// returns an empty list for a namespace that does not exist.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/api.hpp"

#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd::kubernetes {

/// Label: scope, such as "web", "web with app=api" or "container worker".
extern const Metric<1> kSelectedObjects;

inline constexpr Check kUnmatchedCheck{
    .name = "unmatched",
    .warn = 0,
    .critical = {},
    .help = "configured namespaces, selectors, patterns and prefixes that match nothing"};

/// What the values of an option select in one of several targets, kept between runs. A target that
/// fails counts as when it last answered.
class TargetSelection {
 public:
  /// The target has answered. `objects`: the numbers of objects, in the order of the option.
  void set(std::vector<std::size_t> objects) { objects_ = std::move(objects); }
  /// The target has failed in this run.
  void fail() { ++failed_runs_; }

 private:
  friend class Selection;
  std::optional<std::vector<std::size_t>> objects_;  // none if the target has never answered
  std::size_t failed_runs_ = 0;
};

class Selection {
 public:
  /// The number of runs after which a scope is judged without the targets that have not answered.
  static constexpr std::size_t kMaxPendingRuns = 10;

  /// Whether the objects of a watch are counted. A watch of the whole resource is not counted.
  static bool counts(const net::kubernetes::Query& query);

  /// Adds the objects of one watch, if they are counted. `is_divided`: other processes observe a
  /// share of the objects.
  void add(const net::kubernetes::Query& query, std::size_t objects, bool is_divided);

  /// Adds the objects that one option selects, such as "container worker".
  void add(const std::string& scope, std::size_t objects);

  /// Adds the objects that the value `index` of an option selects in one of several targets.
  void add(const std::string& scope, const TargetSelection& target, std::size_t index);

  /// A target that may have objects of the scope has not been observed in the last `runs` runs.
  void add_unobserved(const net::kubernetes::Query& query, std::size_t runs);
  void add_unobserved(const std::string& scope, std::size_t runs);

  /// Publishes the counts. A scope in which nothing was found is omitted if nothing was observed,
  /// or if a target was unobserved in fewer than kMaxPendingRuns runs: it may have objects.
  /// Publishes the check only if no other process observes a share of the objects.
  void report(Part& out) const;

 private:
  struct Count {
    std::size_t objects = 0;
    std::size_t observed = 0;    // targets
    std::size_t unobserved = 0;  // targets
    bool is_pending = false;     // some targets may still answer
  };

  bool is_divided_ = false;
  std::map<std::string, Count> by_scope_;
};

}  // namespace vitalsd::kubernetes
