#include "probes/kubernetes/objects/set_objects.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kDeploymentCondition{.reason = 4, .last_transition = 7};

void read_spec(std::string_view message, Deployment& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.wanted = field.integer();
    if (field.tag() == 7) out.paused = field.boolean();
  });
}

void read_status(std::string_view message, Deployment& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.observed_generation = field.integer();
    if (field.tag() == 2) out.replicas = field.integer();
    if (field.tag() == 3) out.updated = field.integer();
    if (field.tag() == 4) out.available = field.integer();
    if (field.tag() == 5) out.unavailable = field.integer();
    if (field.tag() == 6) {
      out.conditions.push_back(read_condition(field.bytes(), kDeploymentCondition));
    }
    if (field.tag() == 7) out.ready = field.integer();
  });
}

void read_spec(std::string_view message, StatefulSet& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.wanted = field.integer();
  });
}

void read_status(std::string_view message, StatefulSet& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.observed_generation = field.integer();
    if (field.tag() == 2) out.replicas = field.integer();
    if (field.tag() == 3) out.ready = field.integer();
    if (field.tag() == 4) out.current = field.integer();
    if (field.tag() == 5) out.updated = field.integer();
    if (field.tag() == 6) out.current_revision = field.bytes();
    if (field.tag() == 7) out.update_revision = field.bytes();
    if (field.tag() == 11) out.available = field.integer();
  });
}

void read_spec(std::string_view /*message*/, DaemonSet& /*out*/) {}

void read_status(std::string_view message, DaemonSet& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.scheduled = field.integer();
    if (field.tag() == 2) out.misscheduled = field.integer();
    if (field.tag() == 3) out.wanted = field.integer();
    if (field.tag() == 4) out.ready = field.integer();
    if (field.tag() == 5) out.observed_generation = field.integer();
    if (field.tag() == 6) out.updated = field.integer();
    if (field.tag() == 7) out.available = field.integer();
    if (field.tag() == 8) out.unavailable = field.integer();
  });
}

template <class Object>
Object read(std::string_view message) {
  Object out;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.meta = read_metadata(field.bytes());
    if (field.tag() == 2) read_spec(field.bytes(), out);
    if (field.tag() == 3) read_status(field.bytes(), out);
  });
  return out;
}

}  // namespace

const Condition* Deployment::condition(std::string_view type) const {
  const auto found = std::ranges::find_if(
      conditions, [&](const Condition& condition) { return condition.type.get() == type; });
  return found == conditions.end() ? nullptr : &*found;
}

bool Deployment::is_stuck() const {
  const Condition* progressing = condition("Progressing");
  return progressing != nullptr && progressing->status.get() == "False" &&
         progressing->reason.get() == "ProgressDeadlineExceeded";
}

Deployment read_deployment(std::string_view message) { return read<Deployment>(message); }
StatefulSet read_stateful_set(std::string_view message) { return read<StatefulSet>(message); }
DaemonSet read_daemon_set(std::string_view message) { return read<DaemonSet>(message); }

}  // namespace vitalsd::kubernetes
