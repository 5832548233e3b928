// The fields of a Pod that probes use. Field numbers are from k8s.io/api/core/v1/generated.proto.
// Pure.
#pragma once

#include "probes/kubernetes/objects/compact.hpp"
#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// The kubelet restarts a container without a delay if the previous instance ran for this time, in
/// seconds: twice the maximum delay.
inline constexpr double kBackoffReset = 600;

/// The status of a container. Its state (waiting, running or terminated) is flattened into fields.
struct ContainerStatus {
  struct Image {
    std::string name;
    std::string id;
    std::string container_id;
    bool operator==(const Image&) const = default;
  };

  SharedText name;
  SharedText waiting_reason;          ///< not empty if the container is waiting
  SharedText terminated_reason;       ///< not empty if the container is terminated
  SharedText last_terminated_reason;  ///< of the previous instance; empty if there was none
  std::int64_t restarts = 0;
  std::optional<double> started;     ///< if the container is running
  std::optional<double> terminated;  ///< if the container is terminated
  std::optional<double> last_terminated;
  std::optional<int> last_exit_code;
  bool init = false;
  bool ready = false;
  bool running = false;
  bool short_run = false;       ///< it is terminated and ran for less than kBackoffReset
  bool last_short_run = false;  ///< the previous instance ran for less than kBackoffReset
  bool complete = false;        ///< it succeeded and will not be restarted
  Boxed<Image> image;           ///< with PodDetail::all

  /// When the container was last killed because it exceeded its memory, in Unix seconds; 0 if the
  /// time is unknown; empty if the status reports no OOM kill. For a container that is not
  /// restarted, the status reports the kill in the current state only.
  [[nodiscard]] std::optional<double> oom_killed() const;
  /// Whether the container crashes repeatedly: it waits in CrashLoopBackOff, or it has restarted at
  /// least three times and neither its previous nor its current instance has run for kBackoffReset.
  /// So it still counts as crash looping when a new instance has started. `now`: Unix seconds.
  [[nodiscard]] bool crash_looping(double now) const;
  /// Whether crash_looping() can become true without CrashLoopBackOff.
  [[nodiscard]] bool may_crash_loop() const;
  bool operator==(const ContainerStatus&) const = default;
};

/// Requests and limits of a container in the spec of the pod.
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
  SharedText owner_kind;              ///< of the controller; empty if there is none
  std::optional<double> deleted;      ///< deletionTimestamp, Unix seconds: the grace period's end
  std::vector<Condition> conditions;  ///< Ready and PodScheduled; with PodDetail::all every type
  std::vector<ContainerStatus> containers;
  /// Creation time in Unix seconds, if the pod is pending and has no condition PodScheduled.
  Boxed<double> unscheduled_since;
  Boxed<Detail> detail;  ///< with PodDetail::all

  [[nodiscard]] std::string key() const { return namespace_name.get() + '/' + name; }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  /// Whether a check may fail for the pod, now or later (some checks depend on the time).
  [[nodiscard]] bool suspect() const;
  bool operator==(const Pod&) const = default;
};

enum class PodDetail : unsigned char { basic, all };

/// Throws ProbeError(protocol) for malformed bytes.
Pod read_pod(std::string_view message, PodDetail detail);

}  // namespace vitalsd::kubernetes
