// What is kept of a pod. Field numbers are those of k8s.io/api/core/v1/generated.proto. Pure.
#pragma once

#include "probes/kubernetes/objects/compact.hpp"
#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// One container's status, its state flattened: it is waiting, running or terminated.
struct ContainerStatus {
  struct Image {
    std::string name;
    std::string id;
    std::string container_id;
    bool operator==(const Image&) const = default;
  };

  SharedText name;
  SharedText waiting_reason;          ///< not empty: it is waiting
  SharedText terminated_reason;       ///< not empty: it has ended
  SharedText last_terminated_reason;  ///< of the instance before; empty: there was none
  std::int64_t restarts = 0;
  std::optional<double> started;     ///< when it began to run, if it does
  std::optional<double> terminated;  ///< when it ended, if it has
  std::optional<double> last_terminated;
  std::optional<int> last_exit_code;
  bool init = false;
  bool ready = false;
  bool running = false;
  Boxed<Image> image;  ///< detail

  /// When it was last killed for lack of memory, 0 if that is not said; nothing: never, as far as
  /// its status goes back. A container that is not restarted has it in its state alone.
  [[nodiscard]] std::optional<double> oom_killed() const;
  bool operator==(const ContainerStatus&) const = default;
};

/// Requests and limits as the pod's template has them.
struct ContainerResources {
  std::string name;
  bool init = false;
  Amounts requests;
  Amounts limits;
  bool operator==(const ContainerResources&) const = default;
};

struct Pod {
  struct Detail {
    std::string owner_name;
    std::string host_ip;
    std::string pod_ip;
    std::string restart_policy;
    std::string service_account;
    std::string priority_class;
    std::string qos_class;
    bool host_network = false;
    std::optional<double> created;
    std::optional<double> started;
    std::vector<ContainerResources> resources;
    bool operator==(const Detail&) const = default;
  };

  SharedText namespace_name;
  std::string name;
  std::string uid;
  SharedText node;
  SharedText phase;                   ///< "Pending", "Running", "Succeeded", "Failed", "Unknown"
  SharedText reason;                  ///< "Evicted"
  SharedText owner_kind;              ///< the controller's; empty: none
  std::optional<double> deleted;      ///< asked to go
  std::vector<Condition> conditions;  ///< Ready and PodScheduled, or with detail all
  std::vector<ContainerStatus> containers;
  Boxed<Detail> detail;

  [[nodiscard]] std::string key() const { return namespace_name.get() + '/' + name; }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  /// Whether it may have a fault, now or, as some count with time only, later.
  [[nodiscard]] bool suspect() const;
  bool operator==(const Pod&) const = default;
};

enum class PodDetail : unsigned char { basic, all };

/// Throws ProbeError(protocol) for malformed bytes.
Pod read_pod(std::string_view message, PodDetail detail);

}  // namespace vitalsd::kubernetes
