// StatefulSets. Names and labels are those of kube-state-metrics
// (docs/metrics/workload/statefulset-metrics.md).
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kStatefulSets{
    .group = "apps", .version = "v1", .plural = "statefulsets"};

template <class... Names>
consteval auto stateful_set_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "statefulset", names...);
}

constexpr MetricTable kTable(
    MetricRow{stateful_set_metric({.name = "kube_statefulset_replicas",
                                   .help = "Desired pods of the StatefulSet."}),
              [](const StatefulSet& object) { return object.wanted; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_replicas",
                                   .help = "Pods of the StatefulSet."}),
              [](const StatefulSet& object) { return object.replicas; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_replicas_ready",
                                   .help = "Ready pods of the StatefulSet."}),
              [](const StatefulSet& object) { return object.ready; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_replicas_current",
                                   .help = "Pods of the StatefulSet's current revision."}),
              [](const StatefulSet& object) { return object.current; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_replicas_updated",
                                   .help = "Pods of the StatefulSet's newest revision."}),
              [](const StatefulSet& object) { return object.updated; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_replicas_available",
                                   .help = "Pods of the StatefulSet that have been ready for at "
                                           "least minReadySeconds."}),
              [](const StatefulSet& object) { return object.available; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_observed_generation",
                                   .help = "Generation of the StatefulSet that its controller has "
                                           "observed."}),
              [](const StatefulSet& object) { return object.observed_generation; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_metadata_generation",
                                   .help = "Generation of the StatefulSet's desired state."}),
              [](const StatefulSet& object) { return object.meta.generation; }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_current_revision",
                                   .help = "Revision of the pods that are not yet updated; always "
                                           "1."},
                                  "revision"),
              [](const StatefulSet& object, auto put) {
                if (!object.current_revision.empty()) put(1, object.current_revision);
              }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_status_update_revision",
                                   .help = "Revision that new pods are created from; always 1."},
                                  "revision"),
              [](const StatefulSet& object, auto put) {
                if (!object.update_revision.empty()) put(1, object.update_revision);
              }},
    MetricRow{stateful_set_metric({.name = "kube_statefulset_created",
                                   .help = "When the StatefulSet was created, in Unix seconds."}),
              [](const StatefulSet& object) { return object.meta.created; }});

constexpr Check kNotReady{.name = "statefulset_not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "StatefulSets with fewer ready pods than desired"};

class StatefulSets final : public WatchedSection<StatefulSet> {
 public:
  StatefulSets(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kStatefulSets),
                       read_own(&read_stateful_set, environment.shard)) {}

 private:
  void add(Part& out, const StatefulSet& object) const override {
    kTable.add(out, object, object.meta.namespace_name, object.meta.name);
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects not_ready(kNotReady);
    for_each([&](const StatefulSet& object) {
      if (object.ready >= object.wanted) return;
      not_ready.add(object.key() + " (" + std::to_string(object.ready) + " of " +
                    std::to_string(object.wanted) + ')');
    });
    not_ready.report(out);
  }
};

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 1> kChecks = {&kNotReady};

}  // namespace

constinit const SectionKind stateful_sets = {.name = "statefulsets",
                                             .make = make_section<StatefulSets>,
                                             .metrics = kMetrics,
                                             .checks = kChecks,
                                             .group = "apps"};

}  // namespace vitalsd::kubernetes
