// HorizontalPodAutoscalers. Names and labels are kube-state-metrics' (docs/metrics/workload/
// horizontalpodautoscaler-metrics.md).
#include "probes/kubernetes/objects/autoscaler_object.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kAutoscalers{.group = "autoscaling",
                                                 .version = "v2",
                                                 .plural = "horizontalpodautoscalers",
                                                 .older_versions = {"v2beta2", "v1"}};

#define VITALSD_AUTOSCALER "namespace", "horizontalpodautoscaler"

constexpr Metric kInfo({.name = "kube_horizontalpodautoscaler_info",
                        .help = "What the autoscaler scales; always 1."},
                       VITALSD_AUTOSCALER, "scaletargetref_api_version", "scaletargetref_kind",
                       "scaletargetref_name");
constexpr Metric kMin({.name = "kube_horizontalpodautoscaler_spec_min_replicas",
                       .help = "Fewest pods that the autoscaler may go down to."},
                      VITALSD_AUTOSCALER);
constexpr Metric kMax({.name = "kube_horizontalpodautoscaler_spec_max_replicas",
                       .help = "Most pods that the autoscaler may go up to."},
                      VITALSD_AUTOSCALER);
constexpr Metric kCurrent({.name = "kube_horizontalpodautoscaler_status_current_replicas",
                           .help = "Pods that the autoscaler has counted."},
                          VITALSD_AUTOSCALER);
constexpr Metric kDesired({.name = "kube_horizontalpodautoscaler_status_desired_replicas",
                           .help = "Pods that the autoscaler wants."},
                          VITALSD_AUTOSCALER);
constexpr Metric kCondition({.name = "kube_horizontalpodautoscaler_status_condition",
                             .help = "Whether the autoscaler's condition has this status; it "
                                     "cannot see its readings where ScalingActive is false."},
                            VITALSD_AUTOSCALER, "condition", "status");
constexpr std::string_view kItsName = "kube-state-metrics' name";
constexpr Metric kTarget({.name = "kube_horizontalpodautoscaler_spec_target_metric",
                          .help = "What the autoscaler wants a reading to be, by its name and by "
                                  "how it is meant: value, average, or utilization in percent.",
                          .waiver = kItsName},
                         VITALSD_AUTOSCALER, "metric_name", "metric_target_type");
constexpr Metric kReading({.name = "kube_horizontalpodautoscaler_status_target_metric",
                           .help = "What the autoscaler has last read, as its target.",
                           .waiver = kItsName},
                          VITALSD_AUTOSCALER, "metric_name", "metric_target_type");
constexpr Metric kGeneration({.name = "kube_horizontalpodautoscaler_metadata_generation",
                              .help = "Generation of the autoscaler as it is wanted."},
                             VITALSD_AUTOSCALER);

constexpr Check kAtMax{.name = "autoscaler_at_max",
                       .warn = 0,
                       .critical = {},
                       .help = "autoscalers that want as many pods as they may have"};
constexpr Check kBlind{.name = "autoscaler_inactive",
                       .warn = 0,
                       .critical = {},
                       .help = "autoscalers that cannot scale, mostly for want of readings"};

class Autoscalers final : public WatchedSection<Autoscaler> {
 public:
  Autoscalers(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kAutoscalers),
                       own(&read_autoscaler, environment.shard)) {}

 private:
  void add(Part& out, const Autoscaler& object) const override {
    const auto put = [&](const auto& metric, const auto& value, const auto&... labels) {
      out.add(metric, value, object.meta.namespace_name, object.meta.name, labels...);
    };
    put(kInfo, 1.0, object.target_api_version, object.target_kind, object.target_name);
    put(kMin, static_cast<double>(object.min));
    put(kMax, static_cast<double>(object.max));
    put(kCurrent, static_cast<double>(object.current));
    put(kDesired, static_cast<double>(object.desired));
    for (const auto& [metric, type, value] : object.targets) put(kTarget, value, metric, type);
    for (const auto& [metric, type, value] : object.readings) put(kReading, value, metric, type);
    for (const Condition& condition : object.conditions) {
      for (const auto& [status, value] : statuses(condition)) {
        put(kCondition, value, condition.type.get(), status);
      }
    }
    put(kGeneration, static_cast<double>(object.meta.generation));
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects at_max(kAtMax);
    FaultyObjects blind(kBlind);
    for_each([&](const Autoscaler& object) {
      if (object.at_max()) {
        at_max.add(object.key() + " (" + std::to_string(object.max) + ')');
      }
      for (const Condition& condition : object.conditions) {
        const std::string& type = condition.type.get();
        // That somebody has scaled to 0 by hand is how autoscaling is switched off.
        if ((type == "ScalingActive" || type == "AbleToScale") &&
            condition.status.get() == "False" && condition.reason.get() != "ScalingDisabled") {
          blind.add(object.key() + " (" + condition.reason.get() + ')');
          break;
        }
      }
    });
    at_max.report(out);
    blind.report(out);
  }
};

constexpr auto kMetrics =
    metric_list(kInfo, kMin, kMax, kCurrent, kDesired, kTarget, kReading, kCondition, kGeneration);
constexpr std::array<const Check*, 2> kChecks = {&kAtMax, &kBlind};

}  // namespace

constinit const SectionKind autoscalers = {.name = "horizontalpodautoscalers",
                                           .make = make_section<Autoscalers>,
                                           .metrics = kMetrics,
                                           .checks = kChecks};

}  // namespace vitalsd::kubernetes
