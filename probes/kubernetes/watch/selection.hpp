// The number of objects that each namespace, selector and pattern of a configuration selects. A
// typing error in any of them selects nothing without any error: the API server, for example,
// returns an empty list for a namespace that does not exist.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/api.hpp"

#include <cstddef>
#include <map>
#include <string>

namespace vitalsd::kubernetes {

/// Label: scope, such as "web", "web with app=api" or "container worker".
extern const Metric<1> kSelectedObjects;

inline constexpr Check kUnmatchedCheck{
    .name = "unmatched",
    .warn = 0,
    .critical = {},
    .help = "configured namespaces, selectors, patterns and prefixes that match nothing"};

class Selection {
 public:
  /// Whether the objects of a watch are counted. A watch of the whole resource is not counted.
  static bool counts(const net::kubernetes::Query& query);

  /// Adds the objects of one watch, if they are counted. `is_divided`: other processes observe a
  /// share of the objects.
  void add(const net::kubernetes::Query& query, std::size_t objects, bool is_divided);

  /// Adds the objects that one option selects, such as "container worker".
  void add(const std::string& scope, std::size_t objects) { by_scope_[scope] += objects; }

  /// Publishes the counts. Publishes the check only if no other process observes a share of the
  /// objects.
  void report(Part& out) const;

 private:
  bool is_divided_ = false;
  std::map<std::string, std::size_t> by_scope_;
};

}  // namespace vitalsd::kubernetes
