#include "probes/kubernetes/pods/pod_samples.hpp"

#include "exporter/model/metric_table.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <optional>
#include <string>

namespace vitalsd::kubernetes {
namespace {

template <class... Names>
consteval auto pod_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "pod", "uid", names...);
}

template <class Put>
void put_reason(const SharedText& reason, const Put& put) {
  if (!reason.get().empty()) put(1, reason.get());
}

// ---- the pod ------------------------------------------------------------------------------------

struct PodView {
  const Pod& pod;
  PodDetail detail;
};

template <class Put>
void put_condition(const PodView& view, std::string_view type, const Put& put) {
  const Condition* condition = view.pod.condition(type);
  const std::string_view status =
      condition == nullptr ? "" : std::string_view(condition->status.get());
  put(status == "True", "true");
  if (view.detail == PodDetail::basic) return;
  put(status == "False", "false");
  put(status == "Unknown", "unknown");
}

// The time in Unix seconds; empty if the condition is not true.
std::optional<double> true_since(const PodView& view, std::string_view type) {
  const Condition* condition = view.pod.condition(type);
  if (condition == nullptr || condition->status.get() != "True") return std::nullopt;
  return condition->since;
}

constexpr MetricTable kStatus(
    MetricRow{
        pod_metric({.name = "kube_pod_status_phase",
                    .help = "Whether the pod is in this phase; by default only the current phase."},
                   "phase"),
        [](const PodView& view, auto put) {
          const std::string& current = view.pod.phase.get();
          for (const std::string_view phase : kPodPhases) {
            if (view.detail == PodDetail::all || phase == current) put(phase == current, phase);
          }
        }},
    MetricRow{pod_metric({.name = "kube_pod_status_ready",
                          .help = "Whether the pod's Ready condition has this status; by default "
                                  "only the status true."},
                         "condition"),
              [](const PodView& view, auto put) { put_condition(view, "Ready", put); }},
    MetricRow{pod_metric({.name = "kube_pod_status_unschedulable",
                          .help = "Present, with value 1, while no node fits the pod."}),
              [](const PodView& view, auto put) {
                const Condition* scheduled = view.pod.condition("PodScheduled");
                if (scheduled != nullptr && scheduled->reason.get() == "Unschedulable") put(1);
              }},
    MetricRow{pod_metric({.name = "kube_pod_status_reason",
                          .help = "Why the pod is in its state, such as Evicted; absent without a "
                                  "reason."},
                         "reason"),
              [](const PodView& view, auto put) { put_reason(view.pod.reason, put); }});

constexpr std::array<std::string_view, 3> kQosClasses = {"BestEffort", "Burstable", "Guaranteed"};

// Only for pods that have Pod::detail.
constexpr MetricTable kDetail(
    MetricRow{pod_metric({.name = "kube_pod_info",
                          .help = "Addresses, node, creator and class of the pod; always 1."},
                         "host_ip", "pod_ip", "node", "created_by_kind", "created_by_name",
                         "priority_class", "host_network"),
              [](const PodView& view, auto put) {
                const Pod::Detail& detail = *view.pod.detail;
                put(1, detail.host_ip, detail.pod_ip, view.pod.node.get(),
                    view.pod.owner_kind.get(), detail.owner_name, detail.priority_class,
                    detail.host_network ? "true" : "false");
              }},
    MetricRow{pod_metric({.name = "kube_pod_owner", .help = "The pod's controller; always 1."},
                         "owner_kind", "owner_name", "owner_is_controller"),
              [](const PodView& view, auto put) {
                const std::string& kind = view.pod.owner_kind.get();
                put(1, kind, view.pod.detail->owner_name, kind.empty() ? "" : "true");
              }},
    MetricRow{pod_metric({.name = "kube_pod_created",
                          .help = "When the pod was created, in Unix seconds."}),
              [](const PodView& view) { return view.pod.detail->created; }},
    MetricRow{
        pod_metric({.name = "kube_pod_deletion_timestamp",
                    .help = "When deletion of the pod was requested, in Unix seconds; absent if it "
                            "was not."}),
        [](const PodView& view) { return view.pod.deleted; }},
    MetricRow{pod_metric({.name = "kube_pod_start_time",
                          .help = "When the kubelet accepted the pod, in Unix seconds."}),
              [](const PodView& view) { return view.pod.detail->started; }},
    MetricRow{pod_metric({.name = "kube_pod_restart_policy",
                          .help = "The pod's restart policy; always 1."},
                         "type"),
              [](const PodView& view, auto put) { put(1, view.pod.detail->restart_policy); }},
    MetricRow{pod_metric({.name = "kube_pod_service_account",
                          .help = "The service account that the pod runs as; always 1."},
                         "service_account"),
              [](const PodView& view, auto put) { put(1, view.pod.detail->service_account); }},
    MetricRow{pod_metric({.name = "kube_pod_status_scheduled",
                          .help = "Whether the pod's PodScheduled condition has this status."},
                         "condition"),
              [](const PodView& view, auto put) { put_condition(view, "PodScheduled", put); }},
    MetricRow{pod_metric({.name = "kube_pod_status_ready_time",
                          .help = "When the pod became ready, in Unix seconds; absent if it is not "
                                  "ready."}),
              [](const PodView& view) { return true_since(view, "Ready"); }},
    MetricRow{pod_metric({.name = "kube_pod_status_scheduled_time",
                          .help = "When the pod was assigned to a node, in Unix seconds."}),
              [](const PodView& view) { return true_since(view, "PodScheduled"); }},
    MetricRow{pod_metric({.name = "kube_pod_status_initialized_time",
                          .help = "When the pod's init containers completed, in Unix seconds."}),
              [](const PodView& view) { return true_since(view, "Initialized"); }},
    MetricRow{pod_metric({.name = "kube_pod_status_container_ready_time",
                          .help = "When all containers of the pod became ready, in Unix seconds; "
                                  "absent if they are not ready."}),
              [](const PodView& view) { return true_since(view, "ContainersReady"); }},
    MetricRow{pod_metric({.name = "kube_pod_status_qos_class",
                          .help = "Whether the pod has this quality of service class."},
                         "qos_class"),
              [](const PodView& view, auto put) {
                for (const std::string_view qos : kQosClasses) {
                  put(qos == view.pod.detail->qos_class, qos);
                }
              }});

// ---- containers ---------------------------------------------------------------------------------

/// The same row or table for containers and for init containers. The two differ only in the names
/// and help texts of their families.
template <class T>
struct Twins {
  T app;
  T init;
  [[nodiscard]] constexpr const T& of(bool is_init) const { return is_init ? init : app; }
};

template <class Read, class... Names>
consteval auto twin_rows(const MetricSpec& app, const MetricSpec& init, Read read,
                         const Names&... names) {
  return Twins{MetricRow{pod_metric(app, "container", names...), read},
               MetricRow{pod_metric(init, "container", names...), read}};
}

template <class... Rows>
consteval auto twin_tables(const Twins<Rows>&... rows) {
  return Twins{MetricTable(rows.app...), MetricTable(rows.init...)};
}

constexpr auto kContainer = twin_tables(
    twin_rows({.name = "kube_pod_container_status_restarts_total",
               .type = Type::counter,
               .help = "Restarts of the container."},
              {.name = "kube_pod_init_container_status_restarts_total",
               .type = Type::counter,
               .help = "Restarts of the init container."},
              [](const ContainerStatus& container) { return container.restarts; }),
    twin_rows(
        {.name = "kube_pod_container_status_waiting_reason",
         .help = "Why the container is waiting, such as CrashLoopBackOff; absent while it is "
                 "not waiting."},
        {.name = "kube_pod_init_container_status_waiting_reason",
         .help = "Why the init container is waiting; absent while it is not waiting."},
        [](const ContainerStatus& container, auto put) {
          put_reason(container.waiting_reason, put);
        },
        "reason"),
    twin_rows(
        {.name = "kube_pod_container_status_last_terminated_reason",
         .help = "Why the previous instance of the container terminated, such as OOMKilled; "
                 "absent if there was none."},
        {.name = "kube_pod_init_container_status_last_terminated_reason",
         .help = "Why the previous instance of the init container terminated; absent if "
                 "there was none."},
        [](const ContainerStatus& container, auto put) {
          put_reason(container.last_terminated_reason, put);
        },
        "reason"));

constexpr MetricTable kAppContainer(MetricRow{
    pod_metric({.name = "kube_pod_container_status_last_terminated_exitcode",
                .help = "Exit code of the previous instance of the container; absent if "
                        "there was none."},
               "container"),
    [](const ContainerStatus& container) { return container.last_exit_code; }});

constexpr auto kContainerDetail = twin_tables(
    twin_rows({.name = "kube_pod_container_status_ready",
               .help = "Whether the container passes its readiness probe."},
              {.name = "kube_pod_init_container_status_ready",
               .help = "Whether the init container completed."},
              [](const ContainerStatus& container) { return container.ready; }),
    twin_rows(
        {.name = "kube_pod_container_status_waiting",
         .help = "Whether the container is waiting to start."},
        {.name = "kube_pod_init_container_status_waiting",
         .help = "Whether the init container is waiting to start."},
        [](const ContainerStatus& container) { return !container.waiting_reason.get().empty(); }),
    twin_rows(
        {.name = "kube_pod_container_status_running", .help = "Whether the container is running."},
        {.name = "kube_pod_init_container_status_running",
         .help = "Whether the init container is running."},
        [](const ContainerStatus& container) { return container.running; }),
    twin_rows({.name = "kube_pod_container_status_terminated",
               .help = "Whether the container has terminated."},
              {.name = "kube_pod_init_container_status_terminated",
               .help = "Whether the init container has terminated."},
              [](const ContainerStatus& container) {
                return !container.terminated_reason.get().empty();
              }),
    twin_rows(
        {.name = "kube_pod_container_status_terminated_reason",
         .help = "Why the container terminated."},
        {.name = "kube_pod_init_container_status_terminated_reason",
         .help = "Why the init container terminated."},
        [](const ContainerStatus& container, auto put) {
          put_reason(container.terminated_reason, put);
        },
        "reason"),
    twin_rows(
        {.name = "kube_pod_container_info", .help = "Image and ID of the container; always 1."},
        {.name = "kube_pod_init_container_info",
         .help = "Image and ID of the init container; always 1."},
        [](const ContainerStatus& container, auto put) {
          if (!container.image) return;
          put(1, container.image->name, container.image->id, container.image->container_id);
        },
        "image", "image_id", "container_id"));

constexpr MetricTable kAppContainerDetail(
    MetricRow{pod_metric({.name = "kube_pod_container_status_last_terminated_timestamp",
                          .help = "When the previous instance of the container terminated, in Unix "
                                  "seconds."},
                         "container"),
              [](const ContainerStatus& container) { return container.last_terminated; }},
    MetricRow{pod_metric({.name = "kube_pod_container_state_started",
                          .help = "When the container started, in Unix seconds."},
                         "container"),
              [](const ContainerStatus& container) { return container.started; }});

template <class Put>
void put_amounts(const Amounts& amounts, const Put& put) {
  for (const auto& [resource, amount] : amounts) {
    put(amount, resource_label(resource), resource_unit(resource));
  }
}

constexpr auto kResources = twin_tables(
    twin_rows(
        {.name = "kube_pod_container_resource_requests",
         .help = "Resource requests of the container: cores, bytes, or a count; absent "
                 "without a request."},
        {.name = "kube_pod_init_container_resource_requests",
         .help = "Resource requests of the init container."},
        [](const ContainerResources& container, auto put) { put_amounts(container.requests, put); },
        "node", "resource", "unit"),
    twin_rows(
        {.name = "kube_pod_container_resource_limits",
         .help = "Resource limits of the container: cores, bytes, or a count; absent without a "
                 "limit."},
        {.name = "kube_pod_init_container_resource_limits",
         .help = "Resource limits of the init container."},
        [](const ContainerResources& container, auto put) { put_amounts(container.limits, put); },
        "node", "resource", "unit"));

constexpr auto kMetrics =
    metric_list(kStatus, kContainer.app, kContainer.init, kAppContainer, kDetail,
                kContainerDetail.app, kContainerDetail.init, kAppContainerDetail, kResources.app,
                kResources.init, kLastHeard, kSelectedObjects);

}  // namespace

constinit const std::span<const MetricInfo* const> kPodMetrics = kMetrics;

void add_pod_samples(Part& out, const Pod& pod, PodDetail detail) {
  const auto add = [&](const auto& table, const auto& object, const auto&... labels) {
    table.add(out, object, pod.namespace_name.get(), pod.name, pod.uid, labels...);
  };
  const PodView view{.pod = pod, .detail = detail};
  add(kStatus, view);
  for (const ContainerStatus& container : pod.containers) {
    const std::string& name = container.name.get();
    add(kContainer.of(container.init), container, name);
    if (!container.init) add(kAppContainer, container, name);
    if (detail == PodDetail::basic) continue;
    add(kContainerDetail.of(container.init), container, name);
    if (!container.init) add(kAppContainerDetail, container, name);
  }
  if (!pod.detail) return;
  add(kDetail, view);
  for (const ContainerResources& container : pod.detail->resources) {
    add(kResources.of(container.init), container, container.name, pod.node.get());
  }
}

}  // namespace vitalsd::kubernetes
