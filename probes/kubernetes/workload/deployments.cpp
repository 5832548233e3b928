// Deployments. Names and labels are those of kube-state-metrics
// (docs/metrics/workload/deployment-metrics.md).
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kDeployments{
    .group = "apps", .version = "v1", .plural = "deployments"};

template <class... Names>
consteval auto deployment_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "deployment", names...);
}

constexpr MetricTable kTable(
    MetricRow{deployment_metric({.name = "kube_deployment_spec_replicas",
                                 .help = "Desired pods of the Deployment."}),
              [](const Deployment& object) { return object.wanted; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_replicas",
                                 .help = "Pods of the Deployment, of all revisions."}),
              [](const Deployment& object) { return object.replicas; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_replicas_ready",
                                 .help = "Ready pods of the Deployment."}),
              [](const Deployment& object) { return object.ready; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_replicas_updated",
                                 .help = "Pods of the Deployment's newest revision."}),
              [](const Deployment& object) { return object.updated; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_replicas_available",
                                 .help = "Pods of the Deployment that have been ready for at least "
                                         "minReadySeconds."}),
              [](const Deployment& object) { return object.available; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_replicas_unavailable",
                                 .help = "Pods that the Deployment still needs to be fully "
                                         "available."}),
              [](const Deployment& object) { return object.unavailable; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_observed_generation",
                                 .help = "Generation of the Deployment that its controller has "
                                         "observed."}),
              [](const Deployment& object) { return object.observed_generation; }},
    MetricRow{deployment_metric({.name = "kube_deployment_metadata_generation",
                                 .help = "Generation of the Deployment's desired state."}),
              [](const Deployment& object) { return object.meta.generation; }},
    MetricRow{deployment_metric({.name = "kube_deployment_spec_paused",
                                 .help = "Whether rollouts of the Deployment are paused."}),
              [](const Deployment& object) { return object.paused; }},
    MetricRow{deployment_metric({.name = "kube_deployment_status_condition",
                                 .help = "Whether the Deployment's condition has this status; a "
                                         "rollout is stuck if Progressing is false with reason "
                                         "ProgressDeadlineExceeded."},
                                "reason", "condition", "status"),
              [](const Deployment& object, auto put) {
                for (const Condition& condition : object.conditions) {
                  put_statuses(condition, [&](bool value, std::string_view status) {
                    put(value, condition.reason.get(), condition.type.get(), status);
                  });
                }
              }},
    MetricRow{deployment_metric({.name = "kube_deployment_created",
                                 .help = "When the Deployment was created, in Unix seconds."}),
              [](const Deployment& object) { return object.meta.created; }});

constexpr Check kUnavailable{
    .name = "deployment_unavailable",
    .warn = {},
    .critical = 0,
    .help = "Deployments with fewer available pods than the minimum they require"};
constexpr Check kStuck{.name = "rollout_stuck",
                       .warn = {},
                       .critical = 0,
                       .help = "Deployments whose rollout exceeded its progress deadline"};

class Deployments final : public WatchedSection<Deployment> {
 public:
  Deployments(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kDeployments),
                       read_own(&read_deployment, environment.shard)) {}

 private:
  void add(Part& out, const Deployment& object) const override {
    kTable.add(out, object, object.meta.namespace_name, object.meta.name);
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects unavailable(kUnavailable);
    FaultyObjects stuck(kStuck);
    for_each([&](const Deployment& object) {
      const Condition* available = object.condition("Available");
      if (available != nullptr && available->status.get() == "False") {
        unavailable.add(object.key() + " (" + std::to_string(object.available) + " of " +
                        std::to_string(object.wanted) + ')');
      }
      if (object.is_stuck()) stuck.add(object.key());
    });
    unavailable.report(out);
    stuck.report(out);
  }
};

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 2> kChecks = {&kUnavailable, &kStuck};

}  // namespace

constinit const SectionKind deployments = {.name = "deployments",
                                           .make = make_section<Deployments>,
                                           .metrics = kMetrics,
                                           .checks = kChecks,
                                           .group = "apps"};

}  // namespace vitalsd::kubernetes
