// Readers of the responses of RabbitMQ's management API (JSON). A member that is missing, null or
// not of the expected type is unknown, because versions and states of objects differ. Pure.
#pragma once

#include "probes/rabbitmq/queue.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::rabbitmq {

/// A user and the user's permissions, from /api/whoami.
struct User {
  std::string name;
  std::vector<std::string> tags;

  /// Whether the user sees all virtual hosts and the nodes.
  [[nodiscard]] bool sees_all() const;
  /// The command that grants these permissions. It sets the tags of the user and keeps the existing
  /// tags.
  [[nodiscard]] std::string granting_command() const;
};

/// A node of the cluster, from /api/nodes.
struct ManagedNode {
  std::string name;
  bool running = false;
  std::optional<bool> memory_alarm;  ///< some seconds old; unknown without statistics
  std::optional<bool> disk_alarm;
  std::optional<double> partitions;  ///< the number of nodes from which this node is partitioned
  std::optional<double> memory_bytes;
  std::optional<double> memory_limit_bytes;
  std::optional<double> disk_free_bytes;
  std::optional<double> disk_limit_bytes;
  std::optional<double> descriptors;
  std::optional<double> max_descriptors;
};

/// An alarm that is in effect, from /api/health/checks/alarms.
struct Alarm {
  std::string node;
  std::string resource;  ///< "memory", "disk", "file_descriptor_limit"
};

/// A page of /api/queues.
struct QueueList {
  std::vector<Queue> queues;
  std::size_t pages = 0;
  std::size_t total = 0;  ///< queues on all pages
};

/// The data of /api/overview.
struct Overview {
  std::optional<std::size_t> queues;
  /// Whether the management API collects statistics: consumers of queues, memory of nodes.
  bool has_statistics = true;
};

/// The columns of /api/overview, /api/nodes and /api/queues that the readers use.
extern const std::string_view kOverviewColumns;
extern const std::string_view kNodeColumns;
extern const std::string_view kQueueColumns;
extern const std::string_view kAttributeColumns;  ///< without the counts

/// Each function throws ProbeError(protocol) if the response is not valid JSON or has another
/// structure.
User read_user(std::string_view body);
std::vector<ManagedNode> read_nodes(std::string_view body);
std::vector<Alarm> read_alarms(std::string_view body);
Overview read_overview(std::string_view body);
/// The names in a response of /api/vhosts.
std::vector<std::string> read_vhosts(std::string_view body);
QueueList read_queues(std::string_view body);
/// The status of a health check; empty if the response is not one.
std::string read_status(std::string_view body);
/// The text of an error response; empty if it has none.
std::string read_reason(std::string_view body);

}  // namespace vitalsd::rabbitmq
