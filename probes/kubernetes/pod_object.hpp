// What is kept of a pod. Field numbers are those of k8s.io/api/core/v1/generated.proto. Pure.
#pragma once

#include "probes/kubernetes/metadata.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// One container's status, its state flattened: it is waiting, running or terminated.
struct ContainerStatus {
  std::string name;
  bool init = false;
  bool ready = false;
  std::int64_t restarts = 0;
  std::string waiting_reason;     ///< not empty: it is waiting
  std::string terminated_reason;  ///< not empty: it has ended
  bool running = false;
  std::optional<double> started;       ///< when it began to run, if it does
  std::string last_terminated_reason;  ///< of the instance before; empty: there was none
  std::optional<int> last_exit_code;
  std::optional<double> last_terminated;
  std::string image;         ///< detail
  std::string image_id;      ///< detail
  std::string container_id;  ///< detail
  bool operator==(const ContainerStatus&) const = default;
};

/// Requests and limits as the pod's template has them; detail.
struct ContainerResources {
  std::string name;
  bool init = false;
  Amounts requests;
  Amounts limits;
  bool operator==(const ContainerResources&) const = default;
};

struct Pod {
  Metadata meta;
  std::string node;
  std::string phase;                  ///< "Pending", "Running", "Succeeded", "Failed", "Unknown"
  std::string reason;                 ///< "Evicted"
  std::vector<Condition> conditions;  ///< Ready and PodScheduled, or with detail all
  std::vector<ContainerStatus> containers;
  // Detail:
  std::string host_ip;
  std::string pod_ip;
  std::string restart_policy;
  std::string service_account;
  std::string priority_class;
  std::string qos_class;
  bool host_network = false;
  std::optional<double> started;
  std::vector<ContainerResources> resources;

  [[nodiscard]] std::string key() const { return meta.key(); }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  bool operator==(const Pod&) const = default;
};

enum class PodDetail : unsigned char { basic, all };

/// Throws ProbeError(protocol) for malformed bytes.
Pod read_pod(std::string_view message, PodDetail detail);

}  // namespace vitalsd::kubernetes
