// DaemonSets. Names and labels are those of kube-state-metrics
// (docs/metrics/workload/daemonset-metrics.md).
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kDaemonSets{
    .group = "apps", .version = "v1", .plural = "daemonsets"};

consteval auto daemon_set_metric(const MetricSpec& spec) {
  return Metric(spec, "namespace", "daemonset");
}

constexpr MetricTable kTable(
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_desired_number_scheduled",
                                 .help = "Nodes that should run the DaemonSet's pod."}),
              [](const DaemonSet& object) { return object.wanted; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_current_number_scheduled",
                                 .help = "Nodes that run the DaemonSet's pod and should."}),
              [](const DaemonSet& object) { return object.scheduled; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_number_misscheduled",
                                 .help = "Nodes that run the DaemonSet's pod and should not."}),
              [](const DaemonSet& object) { return object.misscheduled; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_number_ready",
                                 .help = "Nodes on which the DaemonSet's pod is ready."}),
              [](const DaemonSet& object) { return object.ready; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_updated_number_scheduled",
                                 .help = "Nodes that run the DaemonSet's pod of the newest "
                                         "revision."}),
              [](const DaemonSet& object) { return object.updated; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_number_available",
                                 .help = "Nodes on which the DaemonSet's pod has been ready for at "
                                         "least minReadySeconds."}),
              [](const DaemonSet& object) { return object.available; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_number_unavailable",
                                 .help = "Nodes that should run the DaemonSet's pod and have no "
                                         "available pod."}),
              [](const DaemonSet& object) { return object.unavailable; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_status_observed_generation",
                                 .help = "Generation of the DaemonSet that its controller has "
                                         "observed."}),
              [](const DaemonSet& object) { return object.observed_generation; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_metadata_generation",
                                 .help = "Generation of the DaemonSet's desired state."}),
              [](const DaemonSet& object) { return object.meta.generation; }},
    MetricRow{daemon_set_metric({.name = "kube_daemonset_created",
                                 .help = "When the DaemonSet was created, in Unix seconds."}),
              [](const DaemonSet& object) { return object.meta.created; }});

constexpr Check kNotReady{.name = "daemonset_not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "DaemonSets without a ready pod on one of their nodes"};

class DaemonSets final : public WatchedSection<DaemonSet> {
 public:
  DaemonSets(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kDaemonSets),
                       read_own(&read_daemon_set, environment.shard)) {}

 private:
  void add(Part& out, const DaemonSet& object) const override {
    kTable.add(out, object, object.meta.namespace_name, object.meta.name);
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

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 1> kChecks = {&kNotReady};

}  // namespace

constinit const SectionKind daemon_sets = {.name = "daemonsets",
                                           .make = make_section<DaemonSets>,
                                           .metrics = kMetrics,
                                           .checks = kChecks,
                                           .group = "apps"};

}  // namespace vitalsd::kubernetes
