#include "probes/kubernetes/pods/pod_checks.hpp"

#include <array>
#include <optional>
#include <string>

namespace vitalsd::kubernetes {
namespace {

constexpr double kOomRecent = 3600;   // seconds
constexpr double kNotReadyFor = 300;  // seconds

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

constexpr std::array<const Check*, 6> kChecks = {&kCrashLooping,  &kCannotStart, &kOomKilled,
                                                 &kUnschedulable, &kNotReady,    &kFailed};

// "namespace/pod (detail)".
std::string key_with(const Pod& pod, const std::string& detail) {
  return pod.key() + " (" + detail + ')';
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
      failed_(kFailed) {}

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
}

void PodFaults::examine_container(const Pod& pod, const ContainerStatus& container) {
  const std::string& name = container.name.get();
  const std::string& waiting = container.waiting_reason.get();
  const bool ended = pod.phase.get() == "Succeeded" || pod.phase.get() == "Failed";
  if (!ended && container.crash_looping(now_)) {
    crash_looping_.add(key_with(pod, name));
  } else if (!waiting.empty() && waiting != "ContainerCreating" && waiting != "PodInitializing") {
    cannot_start_.add(key_with(pod, name + ": " + waiting));
  }
  const std::optional<double> killed = container.oom_killed();
  if (killed && now_ - *killed < kOomRecent) oom_killed_.add(key_with(pod, name));
}

void PodFaults::report(Part& out) const {
  for (const FaultyObjects* faults :
       {&crash_looping_, &cannot_start_, &oom_killed_, &unschedulable_, &not_ready_, &failed_}) {
    faults->report(out);
  }
}

}  // namespace vitalsd::kubernetes
