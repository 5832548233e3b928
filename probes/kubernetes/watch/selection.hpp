// How many objects each namespace and selector of a configuration selects. A typo in either selects
// nothing, and nothing else would show it: the API server lists a namespace that does not exist
// without an error.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/kubernetes/api.hpp"

#include <cstddef>
#include <map>
#include <string>

namespace vitalsd::kubernetes {

/// Label: scope, such as "web" or "web with app=api".
extern const Metric<1> kSelectedObjects;

inline constexpr Check kUnmatchedCheck{
    .name = "unmatched",
    .warn = 0,
    .critical = {},
    .help = "configured namespaces and selectors that match nothing"};

class Selection {
 public:
  /// Whether the objects of a watch are counted: not those of a watch of the whole resource.
  static bool counts(const net::kubernetes::Query& query);

  /// Adds the objects of one watch, if they are counted.
  /// `is_divided`: other processes have a share of them.
  void add(const net::kubernetes::Query& query, std::size_t objects, bool is_divided);

  /// Publishes the counts, and the check unless other processes may have the objects.
  void report(Part& out) const;

 private:
  bool is_divided_ = false;
  std::map<std::string, std::size_t> by_scope_;
};

}  // namespace vitalsd::kubernetes
