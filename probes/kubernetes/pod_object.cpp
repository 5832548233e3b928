#include "probes/kubernetes/pod_object.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kPodCondition{.reason = 5, .last_transition = 4};

void read_terminated(std::string_view message, std::string& reason, std::optional<int>& exit_code,
                     std::optional<double>& finished) {
  int code = 0;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) code = static_cast<int>(field.integer());
    if (field.tag() == 3) reason = field.bytes();
    if (field.tag() == 6) finished = read_time(field.bytes());
  });
  if (reason.empty()) reason = code == 0 ? "Completed" : "Error";  // as the kubelet puts it
  exit_code = code;
}

void read_state(std::string_view message, ContainerStatus& out) {
  for_each_field(message, [&](Field& state) {
    if (state.tag() == 1) {
      for_each_field(state.bytes(), [&](Field& field) {
        if (field.tag() == 1) out.waiting_reason = field.bytes();
      });
      if (out.waiting_reason.empty()) out.waiting_reason = "ContainerCreating";  // it has not said
    }
    if (state.tag() == 2) {
      out.running = true;
      for_each_field(state.bytes(), [&](Field& field) {
        if (field.tag() == 1) out.started = read_time(field.bytes());
      });
    }
    if (state.tag() == 3) {
      std::optional<int> exit_code;
      std::optional<double> finished;
      read_terminated(state.bytes(), out.terminated_reason, exit_code, finished);
    }
  });
}

ContainerStatus read_container_status(std::string_view message, bool init, PodDetail detail) {
  ContainerStatus out;
  out.init = init;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.name = field.bytes();
    if (field.tag() == 2) read_state(field.bytes(), out);
    if (field.tag() == 3) {
      for_each_field(field.bytes(), [&](Field& last) {
        if (last.tag() != 3) return;
        read_terminated(last.bytes(), out.last_terminated_reason, out.last_exit_code,
                        out.last_terminated);
      });
    }
    if (field.tag() == 4) out.ready = field.boolean();
    if (field.tag() == 5) out.restarts = field.integer();
    if (detail == PodDetail::basic) return;
    if (field.tag() == 6) out.image = field.bytes();
    if (field.tag() == 7) out.image_id = field.bytes();
    if (field.tag() == 8) out.container_id = field.bytes();
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

void read_spec(std::string_view message, Pod& pod, PodDetail detail) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 10) pod.node = field.bytes();
    if (detail == PodDetail::basic) return;
    if (field.tag() == 2) pod.resources.push_back(read_container(field.bytes(), false));
    if (field.tag() == 20) pod.resources.push_back(read_container(field.bytes(), true));
    if (field.tag() == 3) pod.restart_policy = field.bytes();
    if (field.tag() == 8) pod.service_account = field.bytes();
    if (field.tag() == 11) pod.host_network = field.boolean();
    if (field.tag() == 24) pod.priority_class = field.bytes();
  });
}

void read_status(std::string_view message, Pod& pod, PodDetail detail) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) pod.phase = field.bytes();
    if (field.tag() == 2) {
      Condition condition = read_condition(field.bytes(), kPodCondition);
      const bool basic = condition.type == "Ready" || condition.type == "PodScheduled";
      if (basic || detail == PodDetail::all) pod.conditions.push_back(std::move(condition));
    }
    if (field.tag() == 4) pod.reason = field.bytes();
    if (field.tag() == 8) {
      pod.containers.push_back(read_container_status(field.bytes(), false, detail));
    }
    if (field.tag() == 10) {
      pod.containers.push_back(read_container_status(field.bytes(), true, detail));
    }
    if (detail == PodDetail::basic) return;
    if (field.tag() == 5) pod.host_ip = field.bytes();
    if (field.tag() == 6) pod.pod_ip = field.bytes();
    if (field.tag() == 7) pod.started = read_time(field.bytes());
    if (field.tag() == 9) pod.qos_class = field.bytes();
  });
}

}  // namespace

const Condition* Pod::condition(std::string_view type) const {
  const auto found = std::ranges::find(conditions, type, &Condition::type);
  return found == conditions.end() ? nullptr : &*found;
}

Pod read_pod(std::string_view message, PodDetail detail) {
  Pod pod;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) pod.meta = read_metadata(field.bytes());
    if (field.tag() == 2) read_spec(field.bytes(), pod, detail);
    if (field.tag() == 3) read_status(field.bytes(), pod, detail);
  });
  if (detail == PodDetail::basic) {  // what nothing is made of needs no room
    pod.meta.generation = 0;
    pod.conditions.shrink_to_fit();
    pod.containers.shrink_to_fit();
  }
  return pod;
}

}  // namespace vitalsd::kubernetes
