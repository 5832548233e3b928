#include "probes/kubernetes/objects/pod_object.hpp"

#include <algorithm>
#include <utility>

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kPodCondition{.reason = 5, .last_transition = 4};

struct Terminated {
  SharedText reason;
  int exit_code = 0;
  std::optional<double> started;  // unknown if the container could not be started
  std::optional<double> finished;

  [[nodiscard]] bool short_run() const {
    return !started || !finished || *finished - *started < kBackoffReset;
  }
};

// The policies that decide which containers the kubelet restarts after a success.
struct RestartPolicies {
  bool always = false;  // of the pod
  std::vector<std::string_view> sidecars;

  [[nodiscard]] bool always_restarts(const ContainerStatus& container) const {
    if (!container.init) return always;
    return std::ranges::find(sidecars, container.name.get()) != sidecars.end();
  }
};

Terminated read_terminated(std::string_view message) {
  Terminated out;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.exit_code = static_cast<int>(field.integer());
    if (field.tag() == 3) out.reason = SharedText(field.bytes());
    if (field.tag() == 5) out.started = read_time(field.bytes());
    if (field.tag() == 6) out.finished = read_time(field.bytes());
  });
  // The kubelet's default for a runtime that reports no reason.
  if (out.reason.get().empty()) out.reason = SharedText(out.exit_code == 0 ? "Completed" : "Error");
  return out;
}

void read_state(std::string_view message, ContainerStatus& out) {
  for_each_field(message, [&](Field& state) {
    if (state.tag() == 1) {
      std::string_view reason = "ContainerCreating";  // the default of the kubelet
      for_each_field(state.bytes(), [&](Field& field) {
        if (field.tag() == 1) reason = field.bytes();
      });
      out.waiting_reason = SharedText(reason);
    }
    if (state.tag() == 2) {
      out.running = true;
      for_each_field(state.bytes(), [&](Field& field) {
        if (field.tag() == 1) out.started = read_time(field.bytes());
      });
    }
    if (state.tag() == 3) {
      const Terminated ended = read_terminated(state.bytes());
      out.terminated_reason = ended.reason;
      out.terminated = ended.finished;
      out.short_run = ended.short_run();
      out.complete = ended.exit_code == 0;
    }
  });
}

void read_last_state(std::string_view message, ContainerStatus& out) {
  for_each_field(message, [&](Field& state) {
    if (state.tag() != 3) return;
    const Terminated last = read_terminated(state.bytes());
    out.last_terminated_reason = last.reason;
    out.last_exit_code = last.exit_code;
    out.last_terminated = last.finished;
    out.last_short_run = last.short_run();
  });
}

ContainerStatus read_container_status(std::string_view message, bool init, PodDetail detail) {
  ContainerStatus out;
  out.init = init;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.name = SharedText(field.bytes());
    if (field.tag() == 2) read_state(field.bytes(), out);
    if (field.tag() == 3) read_last_state(field.bytes(), out);
    if (field.tag() == 4) out.ready = field.boolean();
    if (field.tag() == 5) out.restarts = field.integer();
    if (detail == PodDetail::basic) return;
    if (field.tag() == 6) out.image.make().name = field.bytes();
    if (field.tag() == 7) out.image.make().id = field.bytes();
    if (field.tag() == 8) out.image.make().container_id = field.bytes();
  });
  return out;
}

ContainerResources read_container(std::string_view message, bool init) {
  ContainerResources out;
  out.init = init;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.name = field.bytes();
    if (field.tag() != 8) return;
    for_each_field(field.bytes(), [&](Field& amounts) {
      if (amounts.tag() == 1) read_amount(amounts.bytes(), out.limits);
      if (amounts.tag() == 2) read_amount(amounts.bytes(), out.requests);
    });
  });
  return out;
}

void read_init_container_policy(std::string_view message, RestartPolicies& out) {
  std::string_view name;
  bool always = false;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) name = field.bytes();
    if (field.tag() == 24) always = field.bytes() == "Always";
  });
  if (always) out.sidecars.push_back(name);
}

void read_spec(std::string_view message, Pod& pod, RestartPolicies& policies, PodDetail detail) {
  for_each_field(message, [&](Field& field) {
    std::string_view policy;
    std::string_view init_container;
    if (field.tag() == 3) policy = field.bytes();
    if (field.tag() == 10) pod.node = SharedText(field.bytes());
    if (field.tag() == 20) init_container = field.bytes();
    if (!policy.empty()) policies.always = policy == "Always";
    if (!init_container.empty()) read_init_container_policy(init_container, policies);
    if (detail == PodDetail::basic) return;
    Pod::Detail& more = pod.detail.make();
    if (field.tag() == 2) more.resources.push_back(read_container(field.bytes(), false));
    if (field.tag() == 20) more.resources.push_back(read_container(init_container, true));
    if (field.tag() == 3) more.restart_policy = policy;
    if (field.tag() == 8) more.service_account = field.bytes();
    if (field.tag() == 11) more.host_network = field.boolean();
    if (field.tag() == 24) more.priority_class = field.bytes();
  });
}

void read_status(std::string_view message, Pod& pod, PodDetail detail) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) pod.phase = SharedText(field.bytes());
    if (field.tag() == 2) {
      Condition condition = read_condition(field.bytes(), kPodCondition);
      const std::string& type = condition.type.get();
      const bool basic = type == "Ready" || type == "PodScheduled";
      if (basic || detail == PodDetail::all) pod.conditions.push_back(std::move(condition));
    }
    if (field.tag() == 4) pod.reason = SharedText(field.bytes());
    if (field.tag() == 8) {
      pod.containers.push_back(read_container_status(field.bytes(), false, detail));
    }
    if (field.tag() == 10) {
      pod.containers.push_back(read_container_status(field.bytes(), true, detail));
    }
    if (detail == PodDetail::basic) return;
    Pod::Detail& more = pod.detail.make();
    if (field.tag() == 5) more.host_ip = field.bytes();
    if (field.tag() == 6) more.pod_ip = field.bytes();
    if (field.tag() == 7) more.started = read_time(field.bytes());
    if (field.tag() == 9) more.qos_class = field.bytes();
  });
}

void set_metadata(Metadata meta, Pod& pod, PodDetail detail) {
  pod.namespace_name = SharedText(meta.namespace_name);
  pod.name = std::move(meta.name);
  pod.uid = std::move(meta.uid);
  pod.owner_kind = SharedText(meta.owner_kind);
  pod.deleted = meta.deleted;
  if (detail == PodDetail::basic) return;
  pod.detail.make().owner_name = std::move(meta.owner_name);
  pod.detail.make().created = meta.created;
}

}  // namespace

std::optional<double> ContainerStatus::oom_killed() const {
  constexpr std::string_view kReason = "OOMKilled";
  if (terminated_reason.get() == kReason) return terminated.value_or(0);
  if (last_terminated_reason.get() == kReason) return last_terminated.value_or(0);
  return std::nullopt;
}

bool ContainerStatus::crash_looping(double now) const {
  if (waiting_reason.get() == "CrashLoopBackOff") return true;
  if (!may_crash_loop()) return false;
  return now - (running ? started : terminated).value_or(now) < kBackoffReset;
}

bool ContainerStatus::may_crash_loop() const {
  constexpr std::int64_t kMinRestarts = 3;
  return restarts >= kMinRestarts && last_short_run && (running || (short_run && !complete));
}

const Condition* Pod::condition(std::string_view type) const {
  const auto found = std::ranges::find_if(
      conditions, [&](const Condition& condition) { return condition.type.get() == type; });
  return found == conditions.end() ? nullptr : &*found;
}

bool Pod::suspect() const {
  const auto may_fail = [](const ContainerStatus& container) {
    return !container.waiting_reason.get().empty() || container.may_crash_loop() ||
           container.oom_killed().has_value();
  };
  const auto is_false = [](const Condition& condition) { return condition.status.get() != "True"; };
  return phase.get() == "Failed" || phase.get() == "Pending" || deleted ||
         std::ranges::any_of(conditions, is_false) || std::ranges::any_of(containers, may_fail);
}

Pod read_pod(std::string_view message, PodDetail detail) {
  Pod pod;
  RestartPolicies policies;
  std::optional<double> created;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      Metadata meta = read_metadata(field.bytes());
      created = meta.created;
      set_metadata(std::move(meta), pod, detail);
    }
    if (field.tag() == 2) read_spec(field.bytes(), pod, policies, detail);
    if (field.tag() == 3) read_status(field.bytes(), pod, detail);
  });
  if (created && pod.phase.get() == "Pending" && pod.condition("PodScheduled") == nullptr) {
    pod.unscheduled_since.make() = *created;
  }
  for (ContainerStatus& container : pod.containers) {
    if (policies.always_restarts(container)) container.complete = false;
  }
  // Pods exist in large numbers and stay in memory.
  pod.conditions.shrink_to_fit();
  pod.containers.shrink_to_fit();
  return pod;
}

}  // namespace vitalsd::kubernetes
