// HorizontalPodAutoscalers. Names and labels are those of kube-state-metrics
// (docs/metrics/workload/horizontalpodautoscaler-metrics.md). The labels container, metric_object
// and metric_selector are additions: without them, metrics with the same name would be the same
// series. They are empty for most metrics, and Prometheus treats an empty label as a missing one.
#include "probes/kubernetes/objects/autoscaler_object.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kAutoscalers{.group = "autoscaling",
                                                 .version = "v2",
                                                 .plural = "horizontalpodautoscalers",
                                                 .older_versions = {"v2beta2", "v1"}};

template <class... Names>
consteval auto autoscaler_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "horizontalpodautoscaler", names...);
}

constexpr std::string_view kUpstreamName = "kube-state-metrics' name";

template <class Put>
void put_readings(const std::vector<AutoscalerReading>& readings, const Put& put) {
  for (const AutoscalerReading& reading : readings) {
    put(reading.value, reading.metric, reading.type, reading.container, reading.object,
        reading.selector);
  }
}

constexpr MetricTable kTable(
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_info",
                                 .help = "The object that the autoscaler scales; always 1."},
                                "scaletargetref_api_version", "scaletargetref_kind",
                                "scaletargetref_name"),
              [](const Autoscaler& object, auto put) {
                put(1, object.target_api_version, object.target_kind, object.target_name);
              }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_spec_min_replicas",
                                 .help = "Minimum number of pods that the autoscaler may set."}),
              [](const Autoscaler& object) { return object.min; }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_spec_max_replicas",
                                 .help = "Maximum number of pods that the autoscaler may set."}),
              [](const Autoscaler& object) { return object.max; }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_status_current_replicas",
                                 .help = "Pods that the autoscaler last counted."}),
              [](const Autoscaler& object) { return object.current; }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_status_desired_replicas",
                                 .help = "Pods that the autoscaler last computed as desired."}),
              [](const Autoscaler& object) { return object.desired; }},
    MetricRow{
        autoscaler_metric({.name = "kube_horizontalpodautoscaler_spec_target_metric",
                           .help = "Target value of a metric, by metric name and target type: "
                                   "value, average, or utilization in percent.",
                           .waiver = kUpstreamName},
                          "metric_name", "metric_target_type", "container", "metric_object",
                          "metric_selector"),
        [](const Autoscaler& object, auto put) { put_readings(object.targets, put); }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_status_target_metric",
                                 .help = "Last value of a metric that the autoscaler read, in the "
                                         "form of its target.",
                                 .waiver = kUpstreamName},
                                "metric_name", "metric_target_type", "container", "metric_object",
                                "metric_selector"),
              [](const Autoscaler& object, auto put) { put_readings(object.readings, put); }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_status_condition",
                                 .help = "Whether the autoscaler's condition has this status; the "
                                         "autoscaler cannot read its metrics if ScalingActive is "
                                         "false."},
                                "condition", "status"),
              [](const Autoscaler& object, auto put) {
                for (const Condition& condition : object.conditions) {
                  put_statuses(condition, [&](bool value, std::string_view status) {
                    put(value, condition.type.get(), status);
                  });
                }
              }},
    MetricRow{autoscaler_metric({.name = "kube_horizontalpodautoscaler_metadata_generation",
                                 .help = "Generation of the autoscaler's desired state."}),
              [](const Autoscaler& object) { return object.meta.generation; }});

constexpr Check kAtMax{.name = "autoscaler_at_max",
                       .warn = 0,
                       .critical = {},
                       .help = "autoscalers that need their maximum number of pods"};
constexpr Check kInactive{
    .name = "autoscaler_inactive",
    .warn = 0,
    .critical = {},
    .help = "autoscalers that cannot scale, usually because metrics are missing"};

class Autoscalers final : public WatchedSection<Autoscaler> {
 public:
  Autoscalers(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kAutoscalers),
                       read_own(&read_autoscaler, environment.shard)) {}

 private:
  void add(Part& out, const Autoscaler& object) const override {
    kTable.add(out, object, object.meta.namespace_name, object.meta.name);
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects at_max(kAtMax);
    FaultyObjects inactive(kInactive);
    for_each([&](const Autoscaler& object) {
      if (object.at_max()) {
        at_max.add(object.key() + " (" + std::to_string(object.max) + ')');
      }
      for (const Condition& condition : object.conditions) {
        const std::string& type = condition.type.get();
        // Scaling to 0 by hand is the documented way to disable autoscaling, so it is not a fault.
        if ((type == "ScalingActive" || type == "AbleToScale") &&
            condition.status.get() == "False" && condition.reason.get() != "ScalingDisabled") {
          inactive.add(object.key() + " (" + condition.reason.get() + ')');
          break;
        }
      }
    });
    at_max.report(out);
    inactive.report(out);
  }
};

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 2> kChecks = {&kAtMax, &kInactive};

}  // namespace

constinit const SectionKind autoscalers = {.name = "horizontalpodautoscalers",
                                           .make = make_section<Autoscalers>,
                                           .metrics = kMetrics,
                                           .checks = kChecks,
                                           .group = "autoscaling"};

}  // namespace vitalsd::kubernetes
