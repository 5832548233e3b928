#include "probes/kubernetes/objects/node_object.hpp"

#include <algorithm>
#include <array>
#include <vector>

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

struct Address {
  std::string_view type;
  std::string_view text;
};

Address read_address(std::string_view message) {
  Address address;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) address.type = field.bytes();
    if (field.tag() == 2) address.text = field.bytes();
  });
  return address;
}

// Prometheus uses the same order. The first address of a type is the primary one; a second address
// is of the other IP family.
void sort_addresses(const std::vector<Address>& addresses, Node& node) {
  constexpr std::array<std::string_view, 5> kTypes = {"InternalIP", "InternalDNS", "ExternalIP",
                                                      "ExternalDNS", "Hostname"};
  for (const std::string_view type : kTypes) {
    for (const Address& address : addresses) {
      if (address.type != type || address.text.empty()) continue;
      if (type == "InternalIP" && node.internal_ip.empty()) node.internal_ip = address.text;
      node.addresses.emplace_back(address.text);
    }
    if (!node.internal_ip.empty())
      return;  // an IP address needs no DNS, and the network is internal
  }
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
  std::vector<Address> addresses;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) read_amount(field.bytes(), node.capacity);
    if (field.tag() == 2) read_amount(field.bytes(), node.allocatable);
    if (field.tag() == 4) node.conditions.push_back(read_condition(field.bytes(), kNodeCondition));
    if (field.tag() == 5) addresses.push_back(read_address(field.bytes()));
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
  sort_addresses(addresses, node);
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
