#include "probes/kubernetes/workload/autoscaler_object.hpp"

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kAutoscalerCondition{.reason = 4, .last_transition = 3};

void read_target(std::string_view message, Autoscaler& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.target_kind = field.bytes();
    if (field.tag() == 2) out.target_name = field.bytes();
    if (field.tag() == 3) out.target_api_version = field.bytes();
  });
}

void read_spec(std::string_view message, Autoscaler& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) read_target(field.bytes(), out);
    if (field.tag() == 2) out.least = field.integer();
    if (field.tag() == 3) out.most = field.integer();
  });
}

void read_status(std::string_view message, Autoscaler& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 3) out.current = field.integer();
    if (field.tag() == 4) out.desired = field.integer();
    if (field.tag() == 6) {
      out.conditions.push_back(read_condition(field.bytes(), kAutoscalerCondition));
    }
  });
}

}  // namespace

Autoscaler read_autoscaler(std::string_view message) {
  Autoscaler autoscaler;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) autoscaler.meta = read_metadata(field.bytes());
    if (field.tag() == 2) read_spec(field.bytes(), autoscaler);
    if (field.tag() == 3) read_status(field.bytes(), autoscaler);
  });
  return autoscaler;
}

}  // namespace vitalsd::kubernetes
