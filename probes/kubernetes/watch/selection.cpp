#include "probes/kubernetes/watch/selection.hpp"

#include "probes/kubernetes/watch/faulty_objects.hpp"

namespace vitalsd::kubernetes {

constexpr Metric<1> kSelectedObjects(
    {.name = "vitalsd_probe_selected_objects",
     .help = "Objects that a configured namespace, selector or pattern selects, and whether there "
             "are any under a prefix; absent if the probe has none of these."},
    "scope");

bool Selection::counts(const net::kubernetes::Query& query) {
  return !query.namespace_name.empty() || !query.label_selector.empty();
}

void Selection::add(const net::kubernetes::Query& query, std::size_t objects, bool is_divided) {
  is_divided_ = is_divided;
  if (!counts(query)) return;
  std::string scope = query.namespace_name.empty() ? "all namespaces" : query.namespace_name;
  if (!query.label_selector.empty()) scope += " with " + query.label_selector;
  add(scope, objects);
}

void Selection::report(Part& out) const {
  FaultyObjects unmatched(kUnmatchedCheck);
  for (const auto& [scope, objects] : by_scope_) {
    out.add(kSelectedObjects, static_cast<double>(objects), scope);
    if (objects == 0) unmatched.add(scope + " (matches nothing)");
  }
  if (!by_scope_.empty() && !is_divided_) unmatched.report(out);
}

}  // namespace vitalsd::kubernetes
