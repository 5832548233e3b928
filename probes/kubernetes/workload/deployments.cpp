// Deployments. Names and labels are kube-state-metrics' (docs/metrics/workload/
// deployment-metrics.md).
#include "probes/kubernetes/objects/set_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kDeployments{
    .group = "apps", .version = "v1", .plural = "deployments"};

#define VITALSD_DEPLOYMENT "namespace", "deployment"

constexpr Metric kWanted({.name = "kube_deployment_spec_replicas",
                          .help = "Pods that the Deployment should have."},
                         VITALSD_DEPLOYMENT);
constexpr Metric kReplicas({.name = "kube_deployment_status_replicas",
                            .help = "Pods that the Deployment has, of all revisions."},
                           VITALSD_DEPLOYMENT);
constexpr Metric kReady({.name = "kube_deployment_status_replicas_ready",
                         .help = "Pods of the Deployment that are ready."},
                        VITALSD_DEPLOYMENT);
constexpr Metric kUpdated({.name = "kube_deployment_status_replicas_updated",
                           .help = "Pods of the Deployment that are of its newest revision."},
                          VITALSD_DEPLOYMENT);
constexpr Metric kAvailable({.name = "kube_deployment_status_replicas_available",
                             .help = "Pods of the Deployment that have been ready for long "
                                     "enough."},
                            VITALSD_DEPLOYMENT);
constexpr Metric kUnavailable({.name = "kube_deployment_status_replicas_unavailable",
                               .help = "Pods that the Deployment lacks to be wholly available."},
                              VITALSD_DEPLOYMENT);
constexpr Metric kObserved({.name = "kube_deployment_status_observed_generation",
                            .help = "Generation of the Deployment that its controller has seen."},
                           VITALSD_DEPLOYMENT);
constexpr Metric kGeneration({.name = "kube_deployment_metadata_generation",
                              .help = "Generation of the Deployment as it is wanted."},
                             VITALSD_DEPLOYMENT);
constexpr Metric kPaused({.name = "kube_deployment_spec_paused",
                          .help = "Whether the Deployment's rollouts are held up on purpose."},
                         VITALSD_DEPLOYMENT);
constexpr Metric kCondition({.name = "kube_deployment_status_condition",
                             .help = "Whether the Deployment's condition has this status; a "
                                     "rollout is stuck where Progressing is false for "
                                     "ProgressDeadlineExceeded."},
                            VITALSD_DEPLOYMENT, "reason", "condition", "status");
constexpr Metric kCreated({.name = "kube_deployment_created",
                           .help = "When the Deployment was made, in Unix seconds."},
                          VITALSD_DEPLOYMENT);

constexpr Check kUnavailableCheck{
    .name = "deployment_unavailable",
    .warn = {},
    .critical = 0,
    .help = "Deployments with fewer pods available than they can do with"};
constexpr Check kStuck{.name = "rollout_stuck",
                       .warn = {},
                       .critical = 0,
                       .help =
                           "Deployments whose new revision has not come up within its "
                           "deadline"};

class Deployments final : public WatchedSection<Deployment> {
 public:
  Deployments(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kDeployments),
                       own(&read_deployment, environment.shard)) {}

 private:
  void add(Part& out, const Deployment& object) const override {
    const auto put = [&](const auto& metric, const auto& value, const auto&... labels) {
      out.add(metric, value, object.meta.namespace_name, object.meta.name, labels...);
    };
    const auto number = [&](const Metric<2>& metric, std::int64_t value) {
      put(metric, static_cast<double>(value));
    };
    number(kWanted, object.wanted);
    number(kReplicas, object.replicas);
    number(kReady, object.ready);
    number(kUpdated, object.updated);
    number(kAvailable, object.available);
    number(kUnavailable, object.unavailable);
    number(kObserved, object.observed_generation);
    number(kGeneration, object.meta.generation);
    put(kPaused, flag(object.paused));
    for (const Condition& condition : object.conditions) {
      for (const auto& [status, value] : statuses(condition)) {
        put(kCondition, value, condition.reason.get(), condition.type.get(), status);
      }
    }
    put(kCreated, object.meta.created);
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects unavailable(kUnavailableCheck);
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

constexpr auto kMetrics =
    metric_list(kWanted, kReplicas, kReady, kUpdated, kAvailable, kUnavailable, kObserved,
                kGeneration, kPaused, kCondition, kCreated);
constexpr std::array<const Check*, 2> kChecks = {&kUnavailableCheck, &kStuck};

}  // namespace

constinit const SectionKind deployments = {.name = "deployments",
                                           .make = make_section<Deployments>,
                                           .metrics = kMetrics,
                                           .checks = kChecks};

}  // namespace vitalsd::kubernetes
