#include "probes/kubernetes/pods/pod_checks.hpp"

#include "probes/kubernetes/watch/selection.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {
namespace {

constexpr double kOomRecent = 3600;   // seconds
constexpr double kNotReadyFor = 300;  // seconds
constexpr double kStuckFor = 600;     // seconds

constexpr Check kCrashLooping{.name = "crash_looping",
                              .warn = {},
                              .critical = 0,
                              .help =
                                  "containers that crash repeatedly (CrashLoopBackOff, or three "
                                  "restarts and no run of ten minutes)"};
constexpr Check kCannotStart{.name = "cannot_start",
                             .warn = {},
                             .critical = 0,
                             .help =
                                 "containers that cannot start because their image or "
                                 "configuration is missing or invalid"};
constexpr Check kOomKilled{.name = "oom_killed",
                           .warn = 0,
                           .critical = {},
                           .help =
                               "containers that the kernel killed for lack of memory within "
                               "the last hour"};
constexpr Check kUnschedulable{
    .name = "unschedulable", .warn = {}, .critical = 0, .help = "pods that fit on no node"};
constexpr Check kNotReady{.name = "not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "running pods that have not been ready for five minutes"};
constexpr Check kFailed{
    .name = "failed", .warn = 0, .critical = {}, .help = "failed pods, except those of Jobs"};
constexpr Check kStuck{.name = "stuck",
                       .warn = 0,
                       .critical = {},
                       .help =
                           "pods that have been starting, waiting for a scheduler or terminating "
                           "for more than ten minutes"};

constexpr std::array<const Check*, 8> kChecks = {&kCrashLooping,  &kCannotStart,   &kOomKilled,
                                                 &kUnschedulable, &kNotReady,      &kFailed,
                                                 &kStuck,         &kUnmatchedCheck};

// "namespace/pod (detail)".
std::string key_with(const Pod& pod, const std::string& detail) {
  return pod.key() + " (" + detail + ')';
}

// Whether the container waits because the kubelet prepares it. Other reasons are faults of the
// container.
bool is_starting(std::string_view waiting_reason) {
  return waiting_reason == "ContainerCreating" || waiting_reason == "PodInitializing";
}

// A step that a pod should complete quickly, and when the step began.
struct Step {
  std::string name;
  double since;
};

// Returns nothing if the pod is in no such step, or if another check reports why it does not start.
std::optional<Step> current_step(const Pod& pod, double now) {
  if (pod.deleted) return Step{"Terminating", *pod.deleted};
  if (pod.phase.get() != "Pending") return std::nullopt;
  const Condition* scheduled = pod.condition("PodScheduled");
  if (scheduled == nullptr)
    return Step{"Pending", pod.unscheduled_since ? *pod.unscheduled_since : now};
  Step step{"Pending", scheduled->since.value_or(now)};
  if (scheduled->status.get() != "True") {
    // A scheduling gate is intentional: a controller, such as that of a queue, removes it.
    const std::string& reason = scheduled->reason.get();
    if (reason == "Unschedulable" || reason == "SchedulingGated") return std::nullopt;
    return step;
  }
  for (const ContainerStatus& container : pod.containers) {
    const std::string& waiting = container.waiting_reason.get();
    if (container.crash_looping(now) || (!waiting.empty() && !is_starting(waiting))) {
      return std::nullopt;
    }
    if (step.name == "Pending" && !waiting.empty()) step.name = waiting;
  }
  // After a restart of its node, a pod starts again and has been not ready since then.
  const Condition* ready = pod.condition("Ready");
  if (ready != nullptr) step.since = std::max(step.since, ready->since.value_or(step.since));
  return step;
}

}  // namespace

constinit const std::span<const Check* const> kPodChecks = kChecks;

PodFaults::PodFaults(double now)
    : now_(now),
      crash_looping_(kCrashLooping),
      cannot_start_(kCannotStart),
      oom_killed_(kOomKilled),
      unschedulable_(kUnschedulable),
      not_ready_(kNotReady),
      failed_(kFailed),
      stuck_(kStuck) {}

void PodFaults::examine(const Pod& pod) {
  for (const ContainerStatus& container : pod.containers) examine_container(pod, container);
  if (pod.phase.get() == "Failed" && pod.owner_kind.get() != "Job") {
    failed_.add(pod.reason.get().empty() ? pod.key() : key_with(pod, pod.reason.get()));
  }
  const Condition* scheduled = pod.condition("PodScheduled");
  if (scheduled != nullptr && scheduled->reason.get() == "Unschedulable") {
    unschedulable_.add(pod.key());
  }
  const Condition* ready = pod.condition("Ready");
  if (pod.phase.get() == "Running" && !pod.deleted && ready != nullptr &&
      ready->status.get() != "True" && now_ - ready->since.value_or(now_) > kNotReadyFor) {
    not_ready_.add(pod.key());
  }
  examine_progress(pod);
}

void PodFaults::examine_progress(const Pod& pod) {
  const std::optional<Step> step = current_step(pod, now_);
  if (step && now_ - step->since > kStuckFor) stuck_.add(key_with(pod, step->name));
}

void PodFaults::examine_container(const Pod& pod, const ContainerStatus& container) {
  const std::string& name = container.name.get();
  const std::string& waiting = container.waiting_reason.get();
  const bool ended = pod.phase.get() == "Succeeded" || pod.phase.get() == "Failed";
  // The status of a container may be "waiting" even though its pod has ended.
  if (!ended) {
    if (container.crash_looping(now_)) {
      crash_looping_.add(key_with(pod, name));
    } else if (!waiting.empty() && !is_starting(waiting)) {
      cannot_start_.add(key_with(pod, name + ": " + waiting));
    }
  }
  const std::optional<double> killed = container.oom_killed();
  if (killed && now_ - *killed < kOomRecent) oom_killed_.add(key_with(pod, name));
}

void PodFaults::report(Part& out) const {
  for (const FaultyObjects* faults : {&crash_looping_, &cannot_start_, &oom_killed_,
                                      &unschedulable_, &not_ready_, &failed_, &stuck_}) {
    faults->report(out);
  }
}

}  // namespace vitalsd::kubernetes
