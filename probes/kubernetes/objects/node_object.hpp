// The fields of a Node that probes use. Field numbers are from k8s.io/api/core/v1/generated.proto.
// Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

struct Taint {
  std::string key;
  std::string value;
  std::string effect;
  bool operator==(const Taint&) const = default;
};

struct Node {
  std::string name;
  std::string uid;
  std::optional<double> created;
  bool unschedulable = false;
  std::vector<Taint> taints;
  Amounts capacity;
  Amounts allocatable;
  std::vector<Condition> conditions;
  std::string internal_ip;  ///< the first one
  /// Addresses to connect to: all internal IPs, or the other addresses if there are none.
  std::vector<std::string> addresses;
  std::uint16_t kubelet_port = 0;
  std::string kubelet_version;
  std::string kernel_version;
  std::string os_image;
  std::string container_runtime_version;

  [[nodiscard]] std::string key() const { return name; }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  bool operator==(const Node&) const = default;
};

/// Throws ProbeError(protocol) for malformed bytes.
Node read_node(std::string_view message);

}  // namespace vitalsd::kubernetes
