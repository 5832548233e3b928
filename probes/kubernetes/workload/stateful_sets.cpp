// StatefulSets. Names and labels are kube-state-metrics' (docs/metrics/workload/
// statefulset-metrics.md).
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kStatefulSets{
    .group = "apps", .version = "v1", .plural = "statefulsets"};

#define VITALSD_STATEFULSET "namespace", "statefulset"

constexpr Metric kWanted({.name = "kube_statefulset_replicas",
                          .help = "Pods that the StatefulSet should have."},
                         VITALSD_STATEFULSET);
constexpr Metric kReplicas({.name = "kube_statefulset_status_replicas",
                            .help = "Pods that the StatefulSet has."},
                           VITALSD_STATEFULSET);
constexpr Metric kReady({.name = "kube_statefulset_status_replicas_ready",
                         .help = "Pods of the StatefulSet that are ready."},
                        VITALSD_STATEFULSET);
constexpr Metric kCurrent({.name = "kube_statefulset_status_replicas_current",
                           .help = "Pods of the StatefulSet that are of its current revision."},
                          VITALSD_STATEFULSET);
constexpr Metric kUpdated({.name = "kube_statefulset_status_replicas_updated",
                           .help = "Pods of the StatefulSet that are of its newest revision."},
                          VITALSD_STATEFULSET);
constexpr Metric kAvailable({.name = "kube_statefulset_status_replicas_available",
                             .help = "Pods of the StatefulSet that have been ready for long "
                                     "enough."},
                            VITALSD_STATEFULSET);
constexpr Metric kObserved({.name = "kube_statefulset_status_observed_generation",
                            .help = "Generation of the StatefulSet that its controller has seen."},
                           VITALSD_STATEFULSET);
constexpr Metric kGeneration({.name = "kube_statefulset_metadata_generation",
                              .help = "Generation of the StatefulSet as it is wanted."},
                             VITALSD_STATEFULSET);
constexpr Metric kCurrentRevision({.name = "kube_statefulset_status_current_revision",
                                   .help = "The revision that pods were made of before; always "
                                           "1."},
                                  VITALSD_STATEFULSET, "revision");
constexpr Metric kUpdateRevision({.name = "kube_statefulset_status_update_revision",
                                  .help = "The revision that pods are made of now; always 1."},
                                 VITALSD_STATEFULSET, "revision");
constexpr Metric kCreated({.name = "kube_statefulset_created",
                           .help = "When the StatefulSet was made, in Unix seconds."},
                          VITALSD_STATEFULSET);

constexpr Check kNotReady{.name = "statefulset_not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "StatefulSets with fewer pods ready than they should have"};

class StatefulSets final : public WatchedSection<StatefulSet> {
 public:
  StatefulSets(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kStatefulSets),
                       own(&read_stateful_set, environment.shard)) {}

 private:
  void add(Part& out, const StatefulSet& object) const override {
    const auto put = [&](const auto& metric, const auto& value, const auto&... labels) {
      out.add(metric, value, object.meta.namespace_name, object.meta.name, labels...);
    };
    const auto number = [&](const Metric<2>& metric, std::int64_t value) {
      put(metric, static_cast<double>(value));
    };
    number(kWanted, object.wanted);
    number(kReplicas, object.replicas);
    number(kReady, object.ready);
    number(kCurrent, object.current);
    number(kUpdated, object.updated);
    number(kAvailable, object.available);
    number(kObserved, object.observed_generation);
    number(kGeneration, object.meta.generation);
    if (!object.current_revision.empty()) put(kCurrentRevision, 1.0, object.current_revision);
    if (!object.update_revision.empty()) put(kUpdateRevision, 1.0, object.update_revision);
    put(kCreated, object.meta.created);
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

constexpr auto kMetrics =
    metric_list(kWanted, kReplicas, kReady, kCurrent, kUpdated, kAvailable, kObserved, kGeneration,
                kCurrentRevision, kUpdateRevision, kCreated);
constexpr std::array<const Check*, 1> kChecks = {&kNotReady};

}  // namespace

constinit const SectionKind stateful_sets = {.name = "statefulsets",
                                             .make = make_section<StatefulSets>,
                                             .metrics = kMetrics,
                                             .checks = kChecks};

}  // namespace vitalsd::kubernetes
