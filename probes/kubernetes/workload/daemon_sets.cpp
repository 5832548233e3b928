// DaemonSets. Names and labels are kube-state-metrics' (docs/metrics/workload/
// daemonset-metrics.md).
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kDaemonSets{
    .group = "apps", .version = "v1", .plural = "daemonsets"};

#define VITALSD_DAEMONSET "namespace", "daemonset"

constexpr Metric kWanted({.name = "kube_daemonset_status_desired_number_scheduled",
                          .help = "Nodes that should run the DaemonSet's pod."},
                         VITALSD_DAEMONSET);
constexpr Metric kScheduled({.name = "kube_daemonset_status_current_number_scheduled",
                             .help = "Nodes that have the DaemonSet's pod and should."},
                            VITALSD_DAEMONSET);
constexpr Metric kMisscheduled({.name = "kube_daemonset_status_number_misscheduled",
                                .help = "Nodes that have the DaemonSet's pod and should not."},
                               VITALSD_DAEMONSET);
constexpr Metric kReady({.name = "kube_daemonset_status_number_ready",
                         .help = "Nodes on which the DaemonSet's pod is ready."},
                        VITALSD_DAEMONSET);
constexpr Metric kUpdated({.name = "kube_daemonset_status_updated_number_scheduled",
                           .help = "Nodes that have the DaemonSet's pod of its newest revision."},
                          VITALSD_DAEMONSET);
constexpr Metric kAvailable({.name = "kube_daemonset_status_number_available",
                             .help = "Nodes on which the DaemonSet's pod has been ready for long "
                                     "enough."},
                            VITALSD_DAEMONSET);
constexpr Metric kUnavailable({.name = "kube_daemonset_status_number_unavailable",
                               .help = "Nodes that should run the DaemonSet's pod and have none "
                                       "available."},
                              VITALSD_DAEMONSET);
constexpr Metric kObserved({.name = "kube_daemonset_status_observed_generation",
                            .help = "Generation of the DaemonSet that its controller has seen."},
                           VITALSD_DAEMONSET);
constexpr Metric kGeneration({.name = "kube_daemonset_metadata_generation",
                              .help = "Generation of the DaemonSet as it is wanted."},
                             VITALSD_DAEMONSET);
constexpr Metric kCreated({.name = "kube_daemonset_created",
                           .help = "When the DaemonSet was made, in Unix seconds."},
                          VITALSD_DAEMONSET);

constexpr Check kNotReady{.name = "daemonset_not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "DaemonSets that lack a ready pod on a node"};

class DaemonSets final : public WatchedSection<DaemonSet> {
 public:
  DaemonSets(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kDaemonSets),
                       own(&read_daemon_set, environment.shard)) {}

 private:
  void add(Part& out, const DaemonSet& object) const override {
    const auto number = [&](const Metric<2>& metric, std::int64_t value) {
      out.add(metric, static_cast<double>(value), object.meta.namespace_name, object.meta.name);
    };
    number(kWanted, object.wanted);
    number(kScheduled, object.scheduled);
    number(kMisscheduled, object.misscheduled);
    number(kReady, object.ready);
    number(kUpdated, object.updated);
    number(kAvailable, object.available);
    number(kUnavailable, object.unavailable);
    number(kObserved, object.observed_generation);
    number(kGeneration, object.meta.generation);
    out.add(kCreated, object.meta.created, object.meta.namespace_name, object.meta.name);
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects not_ready(kNotReady);
    for_each([&](const DaemonSet& object) {
      if (object.ready >= object.wanted) return;
      not_ready.add(object.key() + " (" + std::to_string(object.ready) + " of " +
                    std::to_string(object.wanted) + ')');
    });
    not_ready.report(out);
  }
};

constexpr auto kMetrics = metric_list(kWanted, kScheduled, kMisscheduled, kReady, kUpdated,
                                      kAvailable, kUnavailable, kObserved, kGeneration, kCreated);
constexpr std::array<const Check*, 1> kChecks = {&kNotReady};

}  // namespace

constinit const SectionKind daemon_sets = {
    .name = "daemonsets", .make = make_section<DaemonSets>, .metrics = kMetrics, .checks = kChecks};

}  // namespace vitalsd::kubernetes
