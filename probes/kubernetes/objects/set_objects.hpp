// The fields of Deployments, StatefulSets and DaemonSets that probes use. Field numbers are from
// k8s.io/api/apps/v1/generated.proto. Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

struct Deployment {
  Metadata meta;
  std::int64_t wanted = 1;  ///< replicas; 1 if it is not set
  bool paused = false;
  std::int64_t observed_generation = 0;
  std::int64_t replicas = 0;
  std::int64_t updated = 0;
  std::int64_t ready = 0;
  std::int64_t available = 0;
  std::int64_t unavailable = 0;
  std::vector<Condition> conditions;

  [[nodiscard]] std::string key() const { return meta.key(); }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  /// Whether a rollout exceeded its progress deadline (ProgressDeadlineExceeded).
  [[nodiscard]] bool is_stuck() const;
  bool operator==(const Deployment&) const = default;
};

struct StatefulSet {
  Metadata meta;
  std::int64_t wanted = 1;
  std::int64_t observed_generation = 0;
  std::int64_t replicas = 0;
  std::int64_t ready = 0;
  std::int64_t current = 0;  ///< of the current revision
  std::int64_t updated = 0;  ///< of the update revision
  std::int64_t available = 0;
  std::string current_revision;
  std::string update_revision;

  [[nodiscard]] std::string key() const { return meta.key(); }
  bool operator==(const StatefulSet&) const = default;
};

/// All counts are numbers of nodes.
struct DaemonSet {
  Metadata meta;
  std::int64_t observed_generation = 0;
  std::int64_t scheduled = 0;     ///< nodes that should run the pod and do
  std::int64_t misscheduled = 0;  ///< nodes that run the pod but should not
  std::int64_t wanted = 0;
  std::int64_t ready = 0;
  std::int64_t updated = 0;
  std::int64_t available = 0;
  std::int64_t unavailable = 0;

  [[nodiscard]] std::string key() const { return meta.key(); }
  bool operator==(const DaemonSet&) const = default;
};

/// These functions throw ProbeError(protocol) for malformed bytes.
Deployment read_deployment(std::string_view message);
StatefulSet read_stateful_set(std::string_view message);
DaemonSet read_daemon_set(std::string_view message);

}  // namespace vitalsd::kubernetes
