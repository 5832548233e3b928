// Kind `pod`: restarts, phases and states of pods and their containers, from one watch. Names and
// labels are kube-state-metrics' (docs/metrics/workload/pod-metrics.md). By default only what alert
// rules use, and of series that are 0 or 1 by state only the one that is 1; `families: all` gives
// all of both.
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using kubernetes::Condition;
using kubernetes::ContainerStatus;
using kubernetes::Pod;

constexpr net::kubernetes::Resource kPods{.group = "", .version = "v1", .plural = "pods"};

#define VITALSD_POD "namespace", "pod", "uid"
#define VITALSD_CONTAINER VITALSD_POD, "container"

// Twins: the same family for containers and for init containers.
struct Restarts {
  static constexpr Metric kApp{{.name = "kube_pod_container_status_restarts_total",
                                .type = Type::counter,
                                .help = "Restarts of the container."},
                               VITALSD_CONTAINER};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_restarts_total",
                                 .type = Type::counter,
                                 .help = "Restarts of the init container."},
                                VITALSD_CONTAINER};
};
struct Ready {
  static constexpr Metric kApp{{.name = "kube_pod_container_status_ready",
                                .help = "Whether the container passes its readiness probe."},
                               VITALSD_CONTAINER};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_ready",
                                 .help = "Whether the init container has done its work."},
                                VITALSD_CONTAINER};
};
struct Waiting {
  static constexpr Metric kApp{{.name = "kube_pod_container_status_waiting",
                                .help = "Whether the container waits to be started."},
                               VITALSD_CONTAINER};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_waiting",
                                 .help = "Whether the init container waits to be started."},
                                VITALSD_CONTAINER};
};
struct WaitingReason {
  static constexpr Metric kApp{{.name = "kube_pod_container_status_waiting_reason",
                                .help = "Why the container waits, as CrashLoopBackOff; absent "
                                        "while it does not."},
                               VITALSD_CONTAINER,
                               "reason"};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_waiting_reason",
                                 .help = "Why the init container waits; absent while it does "
                                         "not."},
                                VITALSD_CONTAINER,
                                "reason"};
};
struct Running {
  static constexpr Metric kApp{
      {.name = "kube_pod_container_status_running", .help = "Whether the container runs."},
      VITALSD_CONTAINER};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_running",
                                 .help = "Whether the init container runs."},
                                VITALSD_CONTAINER};
};
struct Terminated {
  static constexpr Metric kApp{
      {.name = "kube_pod_container_status_terminated", .help = "Whether the container has ended."},
      VITALSD_CONTAINER};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_terminated",
                                 .help = "Whether the init container has ended."},
                                VITALSD_CONTAINER};
};
struct TerminatedReason {
  static constexpr Metric kApp{{.name = "kube_pod_container_status_terminated_reason",
                                .help = "Why the container has ended."},
                               VITALSD_CONTAINER,
                               "reason"};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_terminated_reason",
                                 .help = "Why the init container has ended."},
                                VITALSD_CONTAINER,
                                "reason"};
};
struct LastTerminatedReason {
  static constexpr Metric kApp{{.name = "kube_pod_container_status_last_terminated_reason",
                                .help = "Why the container's instance before this one ended, as "
                                        "OOMKilled; absent if there was none."},
                               VITALSD_CONTAINER,
                               "reason"};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_status_last_terminated_reason",
                                 .help = "Why the init container's instance before this one "
                                         "ended; absent if there was none."},
                                VITALSD_CONTAINER,
                                "reason"};
};
struct Info {
  static constexpr Metric kApp{
      {.name = "kube_pod_container_info", .help = "The container's image and id; always 1."},
      VITALSD_CONTAINER,
      "image",
      "image_id",
      "container_id"};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_info",
                                 .help = "The init container's image and id; always 1."},
                                VITALSD_CONTAINER,
                                "image",
                                "image_id",
                                "container_id"};
};
struct Requests {
  static constexpr Metric kApp{{.name = "kube_pod_container_resource_requests",
                                .help = "What the container asks for: cores, bytes, or a number; "
                                        "absent where it asks for nothing."},
                               VITALSD_CONTAINER,
                               "node",
                               "resource",
                               "unit"};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_resource_requests",
                                 .help = "What the init container asks for."},
                                VITALSD_CONTAINER,
                                "node",
                                "resource",
                                "unit"};
};
struct Limits {
  static constexpr Metric kApp{{.name = "kube_pod_container_resource_limits",
                                .help = "What the container may use at most: cores, bytes, or a "
                                        "number; absent where there is no limit."},
                               VITALSD_CONTAINER,
                               "node",
                               "resource",
                               "unit"};
  static constexpr Metric kInit{{.name = "kube_pod_init_container_resource_limits",
                                 .help = "What the init container may use at most."},
                                VITALSD_CONTAINER,
                                "node",
                                "resource",
                                "unit"};
};

constexpr Metric kLastExitCode({.name = "kube_pod_container_status_last_terminated_exitcode",
                                .help = "Exit code of the container's instance before this one; "
                                        "absent if there was none."},
                               VITALSD_CONTAINER);
constexpr Metric kLastTerminated({.name = "kube_pod_container_status_last_terminated_timestamp",
                                  .help = "When the container's instance before this one ended, "
                                          "in Unix seconds."},
                                 VITALSD_CONTAINER);
constexpr Metric kStateStarted({.name = "kube_pod_container_state_started",
                                .help = "When the container began to run, in Unix seconds."},
                               VITALSD_CONTAINER);
constexpr Metric kPhase({.name = "kube_pod_status_phase",
                         .help = "Whether this is the pod's phase; by default only the one that "
                                 "is."},
                        VITALSD_POD, "phase");
constexpr Metric kPodReady({.name = "kube_pod_status_ready",
                            .help = "Whether the pod's condition Ready is so; by default only for "
                                    "the condition true."},
                           VITALSD_POD, "condition");
constexpr Metric kScheduled({.name = "kube_pod_status_scheduled",
                             .help = "Whether the pod's condition PodScheduled is so."},
                            VITALSD_POD, "condition");
constexpr Metric kUnschedulable({.name = "kube_pod_status_unschedulable",
                                 .help = "That no node fits the pod; absent otherwise."},
                                VITALSD_POD);
constexpr Metric kReason({.name = "kube_pod_status_reason",
                          .help = "Why the pod as a whole is where it is, as Evicted; absent "
                                  "otherwise."},
                         VITALSD_POD, "reason");
constexpr Metric kQos({.name = "kube_pod_status_qos_class", .help = "The pod's class of service."},
                      VITALSD_POD, "qos_class");
constexpr Metric kReadyTime({.name = "kube_pod_status_ready_time",
                             .help = "Since when the pod is ready, in Unix seconds."},
                            VITALSD_POD);
constexpr Metric kScheduledTime({.name = "kube_pod_status_scheduled_time",
                                 .help = "When the pod was given a node, in Unix seconds."},
                                VITALSD_POD);
constexpr Metric kInitializedTime({.name = "kube_pod_status_initialized_time",
                                   .help = "When the pod's init containers were done, in Unix "
                                           "seconds."},
                                  VITALSD_POD);
constexpr Metric kContainersReadyTime({.name = "kube_pod_status_container_ready_time",
                                       .help = "Since when all containers are ready, in Unix "
                                               "seconds."},
                                      VITALSD_POD);
constexpr Metric kPodInfo({.name = "kube_pod_info", .help = "What the pod is; always 1."},
                          VITALSD_POD, "host_ip", "pod_ip", "node", "created_by_kind",
                          "created_by_name", "priority_class", "host_network");
constexpr Metric kOwner({.name = "kube_pod_owner", .help = "The pod's controller; always 1."},
                        VITALSD_POD, "owner_kind", "owner_name", "owner_is_controller");
constexpr Metric kCreated({.name = "kube_pod_created",
                           .help = "When the pod was made, in Unix seconds."},
                          VITALSD_POD);
constexpr Metric kDeleted({.name = "kube_pod_deletion_timestamp",
                           .help = "When the pod was asked to go, in Unix seconds."},
                          VITALSD_POD);
constexpr Metric kStarted({.name = "kube_pod_start_time",
                           .help = "When the node took the pod, in Unix seconds."},
                          VITALSD_POD);
constexpr Metric kRestartPolicy({.name = "kube_pod_restart_policy",
                                 .help = "What happens to containers that end."},
                                VITALSD_POD, "type");
constexpr Metric kServiceAccount({.name = "kube_pod_service_account",
                                  .help = "The account that the pod runs as; always 1."},
                                 VITALSD_POD, "service_account");

constexpr Check kCrashLooping{.name = "crash_looping",
                              .warn = {},
                              .critical = 0,
                              .help = "containers that crash again and again (CrashLoopBackOff)"};
constexpr Check kCannotStart{.name = "cannot_start",
                             .warn = {},
                             .critical = 0,
                             .help =
                                 "containers that cannot be started: no image, no "
                                 "configuration"};
constexpr Check kOomKilled{.name = "oom_killed",
                           .warn = 0,
                           .critical = {},
                           .help =
                               "containers that were killed for lack of memory within the "
                               "last hour"};
constexpr Check kUnschedulableCheck{
    .name = "unschedulable", .warn = {}, .critical = 0, .help = "pods that fit on no node"};
constexpr Check kNotReady{.name = "not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "running pods that have not been ready for five minutes"};
constexpr Check kFailed{.name = "failed",
                        .warn = 0,
                        .critical = {},
                        .help = "pods that ended in failure, those of Jobs left aside"};

constexpr std::array kPhases = {"Pending", "Running", "Succeeded", "Failed", "Unknown"};
constexpr std::array kQosClasses = {"BestEffort", "Burstable", "Guaranteed"};
constexpr double kOomRecent = 3600;   // seconds
constexpr double kNotReadyFor = 300;  // seconds

double flag(bool value) { return value ? 1 : 0; }

// The samples of one pod.
class PodSamples {
 public:
  PodSamples(Part& part, const Pod& pod, bool all) : part_(part), pod_(pod), all_(all) {}

  void add() {
    add_status();
    for (const ContainerStatus& container : pod_.containers) add_container(container);
    if (pod_.detail) add_detail(*pod_.detail);
  }

 private:
  template <class M, class Value, class... Labels>
  void put(const M& metric, const Value& value, const Labels&... labels) {
    part_.add(metric, value, pod_.namespace_name.get(), pod_.name, pod_.uid, labels...);
  }

  // A family of a container, or its twin.
  template <class Twins, class Value, class... Labels>
  void put_twin(const ContainerStatus& container, const Value& value, const Labels&... labels) {
    if (container.init) {
      put(Twins::kInit, value, container.name.get(), labels...);
    } else {
      put(Twins::kApp, value, container.name.get(), labels...);
    }
  }

  void put_condition(const Metric<4>& metric, std::string_view type) {
    const Condition* condition = pod_.condition(type);
    const std::string_view status =
        condition == nullptr ? "" : std::string_view(condition->status.get());
    put(metric, flag(status == "True"), "true");
    if (!all_) return;
    put(metric, flag(status == "False"), "false");
    put(metric, flag(status == "Unknown"), "unknown");
  }

  void put_time(const Metric<3>& metric, std::string_view type) {
    const Condition* condition = pod_.condition(type);
    if (condition != nullptr && condition->status.get() == "True") put(metric, condition->since);
  }

  void add_status() {
    for (const std::string_view phase : kPhases) {
      if (all_ || phase == pod_.phase.get()) put(kPhase, flag(phase == pod_.phase.get()), phase);
    }
    put_condition(kPodReady, "Ready");
    const Condition* scheduled = pod_.condition("PodScheduled");
    if (scheduled != nullptr && scheduled->reason.get() == "Unschedulable") {
      put(kUnschedulable, 1);
    }
    if (!pod_.reason.get().empty()) put(kReason, 1, pod_.reason.get());
  }

  void add_container(const ContainerStatus& container) {
    put_twin<Restarts>(container, static_cast<double>(container.restarts));
    const auto put_reason = [&]<class Twins>(const std::string& reason) {
      if (!reason.empty()) put_twin<Twins>(container, 1, reason);
    };
    put_reason.operator()<WaitingReason>(container.waiting_reason.get());
    put_reason.operator()<LastTerminatedReason>(container.last_terminated_reason.get());
    if (!container.init) put(kLastExitCode, container.last_exit_code, container.name.get());
    if (!all_) return;
    put_twin<Ready>(container, flag(container.ready));
    put_twin<Waiting>(container, flag(!container.waiting_reason.get().empty()));
    put_twin<Running>(container, flag(container.running));
    put_twin<Terminated>(container, flag(!container.terminated_reason.get().empty()));
    put_reason.operator()<TerminatedReason>(container.terminated_reason.get());
    if (container.image) {
      put_twin<Info>(container, 1, container.image->name, container.image->id,
                     container.image->container_id);
    }
    if (container.init) return;
    put(kLastTerminated, container.last_terminated, container.name.get());
    put(kStateStarted, container.started, container.name.get());
  }

  void add_detail(const Pod::Detail& detail) {
    put(kPodInfo, 1, detail.host_ip, detail.pod_ip, pod_.node.get(), pod_.owner_kind.get(),
        detail.owner_name, detail.priority_class, detail.host_network ? "true" : "false");
    const bool owned = !pod_.owner_kind.get().empty();
    put(kOwner, 1, pod_.owner_kind.get(), detail.owner_name, owned ? "true" : "");
    put(kCreated, detail.created);
    put(kDeleted, pod_.deleted);
    put(kStarted, detail.started);
    put(kRestartPolicy, 1, detail.restart_policy);
    put(kServiceAccount, 1, detail.service_account);
    put_condition(kScheduled, "PodScheduled");
    put_time(kReadyTime, "Ready");
    put_time(kScheduledTime, "PodScheduled");
    put_time(kInitializedTime, "Initialized");
    put_time(kContainersReadyTime, "ContainersReady");
    for (const std::string_view qos : kQosClasses) put(kQos, flag(qos == detail.qos_class), qos);
    for (const kubernetes::ContainerResources& each : detail.resources) {
      add_amounts<Requests>(each, each.requests);
      add_amounts<Limits>(each, each.limits);
    }
  }

  template <class Twins>
  void add_amounts(const kubernetes::ContainerResources& container,
                   const kubernetes::Amounts& amounts) {
    for (const auto& [resource, amount] : amounts) {
      const std::string label = kubernetes::resource_label(resource);
      const std::string_view unit = kubernetes::resource_unit(resource);
      if (container.init) {
        put(Twins::kInit, amount, container.name, pod_.node.get(), label, unit);
      } else {
        put(Twins::kApp, amount, container.name, pod_.node.get(), label, unit);
      }
    }
  }

  Part& part_;
  const Pod& pod_;
  bool all_;
};

class PodProbe final : public Probe {
 public:
  PodProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)),
        phases_(options.list<std::string>("phases", "only pods in these; without it in any")),
        all_(options.choice("families", {"basic", "all"},
                            "basic: what alert rules use; all: as kube-state-metrics") == "all") {
    for (const std::string& phase : phases_) {
      if (std::ranges::find(kPhases, phase) != kPhases.end()) continue;
      const std::vector<std::string_view> known(kPhases.begin(), kPhases.end());
      options.error("phases", config::quoted(phase) + " is no phase of a pod" +
                                  config::did_you_mean(phase, known));
    }
    const auto detail = all_ ? kubernetes::PodDetail::all : kubernetes::PodDetail::basic;
    for (net::kubernetes::Query& query : scope_.queries(kPods)) {
      sources_.push_back(std::make_unique<Source>(
          environment, std::move(query),
          [detail, shard = environment.shard](std::string_view message) -> std::optional<Pod> {
            Pod pod = kubernetes::read_pod(message, detail);
            if (!shard.owns(pod.uid)) return std::nullopt;
            return pod;
          }));
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    std::vector<const Source*> believed;
    for (const auto& source : sources_) {
      Part& part = sources_.size() == 1 ? out : out.part(source->query().text());
      if (co_await source->judge(out, part)) {
        co_await source->publish(out, part, [this](Part& samples, const Pod& pod) {
          if (wanted(pod)) PodSamples(samples, pod, all_).add();
        });
        believed.push_back(source.get());
      }
      part.complete();
    }
    // Verdicts must not outlive the readings that they are made of.
    if (!believed.empty()) check(out, believed);
  }

  [[nodiscard]] std::string target() const override { return "pods in " + scope_.text(); }

  [[nodiscard]] bool overlaps(const Probe& other) const override {
    const auto& probe = dynamic_cast<const PodProbe&>(other);
    const bool apart = !phases_.empty() && !probe.phases_.empty() &&
                       std::ranges::find_first_of(phases_, probe.phases_) == phases_.end();
    return !apart && scope_.overlaps(probe.scope_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<PodProbe&>(predecessor);
    // Of the same pods the same lines.
    if (old.scope_ == scope_ && old.all_ == all_ && old.phases_ == phases_) {
      sources_ = std::move(old.sources_);
    }
  }

 private:
  using Source = kubernetes::Watched<Pod>;

  [[nodiscard]] bool wanted(const Pod& pod) const {
    return phases_.empty() || std::ranges::find(phases_, pod.phase.get()) != phases_.end();
  }

  void check(SampleSet& out, const std::vector<const Source*>& believed) const {
    kubernetes::FaultyObjects crash_looping(kCrashLooping);
    kubernetes::FaultyObjects cannot_start(kCannotStart);
    kubernetes::FaultyObjects oom_killed(kOomKilled);
    kubernetes::FaultyObjects unschedulable(kUnschedulableCheck);
    kubernetes::FaultyObjects not_ready(kNotReady);
    kubernetes::FaultyObjects failed(kFailed);
    const double now =
        std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
    const auto look = [&](const Pod& pod) {
      if (!wanted(pod)) return;
      for (const ContainerStatus& container : pod.containers) {
        const std::string& waiting = container.waiting_reason.get();
        if (waiting == "CrashLoopBackOff") {
          crash_looping.add(pod.key() + " (" + container.name.get() + ')');
        } else if (!waiting.empty() && waiting != "ContainerCreating" &&
                   waiting != "PodInitializing") {
          cannot_start.add(pod.key() + " (" + container.name.get() + ": " + waiting + ')');
        }
        const std::optional<double> killed = container.oom_killed();
        if (killed && now - *killed < kOomRecent) {
          oom_killed.add(pod.key() + " (" + container.name.get() + ')');
        }
      }
      if (pod.phase.get() == "Failed" && pod.owner_kind.get() != "Job") {
        failed.add(pod.reason.get().empty() ? pod.key()
                                            : pod.key() + " (" + pod.reason.get() + ')');
      }
      const Condition* scheduled = pod.condition("PodScheduled");
      if (scheduled != nullptr && scheduled->reason.get() == "Unschedulable") {
        unschedulable.add(pod.key());
      }
      const Condition* ready = pod.condition("Ready");
      if (pod.phase.get() == "Running" && !pod.deleted && ready != nullptr &&
          ready->status.get() != "True" && now - ready->since.value_or(now) > kNotReadyFor) {
        not_ready.add(pod.key());
      }
    };
    for (const Source* source : believed) source->for_each_suspect(look);
    for (const auto* each :
         {&crash_looping, &cannot_start, &oom_killed, &unschedulable, &not_ready, &failed}) {
      each->report(out);
    }
  }

  kubernetes::Scope scope_;
  std::vector<std::string> phases_;
  bool all_;
  std::vector<std::unique_ptr<Source>> sources_;
};

constexpr auto kMetrics = metric_list(
    Restarts::kApp, Restarts::kInit, kPhase, kPodReady, kUnschedulable, kReason,
    WaitingReason::kApp, WaitingReason::kInit, LastTerminatedReason::kApp,
    LastTerminatedReason::kInit, kLastExitCode, kubernetes::kLastHeard, Ready::kApp, Ready::kInit,
    Waiting::kApp, Waiting::kInit, Running::kApp, Running::kInit, Terminated::kApp,
    Terminated::kInit, TerminatedReason::kApp, TerminatedReason::kInit, Info::kApp, Info::kInit,
    Requests::kApp, Requests::kInit, Limits::kApp, Limits::kInit, kLastTerminated, kStateStarted,
    kScheduled, kQos, kReadyTime, kScheduledTime, kInitializedTime, kContainersReadyTime, kPodInfo,
    kOwner, kCreated, kDeleted, kStarted, kRestartPolicy, kServiceAccount);
constexpr std::array<const Check*, 6> kChecks = {&kCrashLooping,       &kCannotStart, &kOomKilled,
                                                 &kUnschedulableCheck, &kNotReady,    &kFailed};

}  // namespace

namespace kinds {
extern const ProbeKind pod;
const ProbeKind pod = {
    .name = "pod",
    .help = "Pods of the cluster run, and do not restart.",
    .make = make_probe<PodProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .first_at_once = true,
    .divides = true,
};
}  // namespace kinds

}  // namespace vitalsd
