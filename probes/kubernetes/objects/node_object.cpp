#include "probes/kubernetes/objects/node_object.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kNodeCondition{.reason = 5, .last_transition = 4};

Taint read_taint(std::string_view message) {
  Taint taint;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) taint.key = field.bytes();
    if (field.tag() == 2) taint.value = field.bytes();
    if (field.tag() == 3) taint.effect = field.bytes();
  });
  return taint;
}

void read_spec(std::string_view message, Node& node) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 4) node.unschedulable = field.boolean();
    if (field.tag() == 5) node.taints.push_back(read_taint(field.bytes()));
  });
}

void read_address(std::string_view message, Node& node) {
  std::string_view type;
  std::string_view address;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) type = field.bytes();
    if (field.tag() == 2) address = field.bytes();
  });
  // The first address of a type is the primary one. A second one has the other IP family.
  if (type == "InternalIP" && node.internal_ip.empty()) node.internal_ip = address;
  if (type == "Hostname" && node.host_name.empty()) node.host_name = address;
}

void read_kubelet_port(std::string_view daemon_endpoints, Node& node) {
  for_each_field(daemon_endpoints, [&](Field& field) {
    if (field.tag() != 1) return;
    for_each_field(field.bytes(), [&](Field& endpoint) {
      if (endpoint.tag() == 1) node.kubelet_port = static_cast<std::uint16_t>(endpoint.integer());
    });
  });
}

void read_status(std::string_view message, Node& node) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) read_amount(field.bytes(), node.capacity);
    if (field.tag() == 2) read_amount(field.bytes(), node.allocatable);
    if (field.tag() == 4) node.conditions.push_back(read_condition(field.bytes(), kNodeCondition));
    if (field.tag() == 5) read_address(field.bytes(), node);
    if (field.tag() == 6) read_kubelet_port(field.bytes(), node);
    if (field.tag() == 7) {
      for_each_field(field.bytes(), [&](Field& info) {
        if (info.tag() == 4) node.kernel_version = info.bytes();
        if (info.tag() == 5) node.os_image = info.bytes();
        if (info.tag() == 6) node.container_runtime_version = info.bytes();
        if (info.tag() == 7) node.kubelet_version = info.bytes();
      });
    }
  });
}

}  // namespace

const Condition* Node::condition(std::string_view type) const {
  const auto found = std::ranges::find_if(
      conditions, [&](const Condition& condition) { return condition.type.get() == type; });
  return found == conditions.end() ? nullptr : &*found;
}

Node read_node(std::string_view message) {
  Node node;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      Metadata meta = read_metadata(field.bytes());
      node.name = std::move(meta.name);
      node.uid = std::move(meta.uid);
      node.created = meta.created;
    }
    if (field.tag() == 2) read_spec(field.bytes(), node);
    if (field.tag() == 3) read_status(field.bytes(), node);
  });
  return node;
}

}  // namespace vitalsd::kubernetes
