#include "probes/kubernetes/watch/selection.hpp"

#include "probes/kubernetes/watch/faulty_objects.hpp"

namespace vitalsd::kubernetes {

constexpr Metric<1> kSelectedObjects(
    {.name = "vitalsd_probe_selected_objects",
     .help = "Objects that a configured namespace, selector or pattern selects, and whether there "
             "are any under a prefix; absent if the probe has none of these. For a target that "
             "fails, the count of its last answer is used."},
    "scope");

namespace {

std::string scope_of(const net::kubernetes::Query& query) {
  std::string scope = query.namespace_name.empty() ? "all namespaces" : query.namespace_name;
  if (!query.label_selector.empty()) scope += " with " + query.label_selector;
  return scope;
}

}  // namespace

bool Selection::counts(const net::kubernetes::Query& query) {
  return !query.namespace_name.empty() || !query.label_selector.empty();
}

void Selection::add(const net::kubernetes::Query& query, std::size_t objects, bool is_divided) {
  is_divided_ = is_divided;
  if (counts(query)) add(scope_of(query), objects);
}

void Selection::add(const std::string& scope, std::size_t objects) {
  Count& count = by_scope_[scope];
  count.objects += objects;
  ++count.observed;
}

void Selection::add(const std::string& scope, const TargetSelection& target, std::size_t index) {
  if (target.objects_) {
    add(scope, (*target.objects_)[index]);
  } else {
    add_unobserved(scope, target.failed_runs_);
  }
}

void Selection::add_unobserved(const net::kubernetes::Query& query, std::size_t runs) {
  if (counts(query)) add_unobserved(scope_of(query), runs);
}

void Selection::add_unobserved(const std::string& scope, std::size_t runs) {
  Count& count = by_scope_[scope];
  ++count.unobserved;
  count.is_pending = count.is_pending || runs < kMaxPendingRuns;
}

void Selection::report(Part& out) const {
  FaultyObjects unmatched(kUnmatchedCheck);
  bool is_judged = false;
  for (const auto& [scope, count] : by_scope_) {
    if (count.objects == 0 && (count.observed == 0 || count.is_pending)) continue;
    is_judged = true;
    out.add(kSelectedObjects, static_cast<double>(count.objects), scope);
    if (count.objects > 0) continue;
    std::string verdict = "matches nothing";
    if (count.unobserved > 0) {
      verdict += "; " + std::to_string(count.unobserved) + " of " +
                 std::to_string(count.observed + count.unobserved) + " could not be read";
    }
    unmatched.add(scope + " (" + verdict + ')');
  }
  if (is_judged && !is_divided_) unmatched.report(out);
}

}  // namespace vitalsd::kubernetes
