// The nodes of a cluster as one of them sees them: the reply to CLUSTER NODES. Pure.
#pragma once

#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::redis {

/// A node of a cluster.
struct ClusterNode {
  std::string id;
  std::string address;   ///< "10.0.0.1:6379"; IPv6 without brackets; an unknown host is empty
  std::string hostname;  ///< announced name (cluster-announce-hostname), or empty
  std::string shard;     ///< see ClusterNodes
  bool myself = false;   ///< the node that replied
  bool master = false;
  bool failed = false;       ///< the cluster considers it failed
  bool suspected = false;    ///< the node that replied cannot reach it; not failed yet
  std::size_t slots = 0;     ///< hash slots that it serves
  std::size_t replicas = 0;  ///< of a master: its replicas that are not failed

  [[nodiscard]] bool up() const { return !failed && !suspected; }
};

/// The members of a cluster, with those that are not up first, then by ID. A shard has the ID that
/// the server reports (from Redis 7.2), otherwise the node ID of its master.
struct ClusterNodes {
  static constexpr std::size_t kMaxRead = 2000;  ///< Redis supports 1,000 nodes

  std::vector<ClusterNode> nodes;
  std::vector<std::string> failed;         ///< addresses of failed nodes
  std::size_t suspected = 0;               ///< nodes with `suspected`
  std::size_t shards_without_replica = 0;  ///< masters with hash slots
  /// Addresses of masters whose working replicas are all on their host: the shard fails
  /// with that host.
  std::vector<std::string> on_one_host;
};

/// Ignores lines that are not nodes, nodes that are not members yet (handshake), and all nodes
/// after `kMaxRead`.
ClusterNodes read_cluster_nodes(std::string_view text);

/// No labels.
inline constexpr MetricTable kClusterNodesTable(
    MetricRow{Metric({.name = "redis_cluster_nodes_failed",
                      .help = "Nodes that the cluster considers failed."}),
              [](const ClusterNodes& nodes) { return nodes.failed.size(); }},
    MetricRow{Metric({.name = "redis_cluster_nodes_suspected",
                      .help = "Nodes that this node cannot reach and the cluster does not yet "
                              "consider failed."}),
              [](const ClusterNodes& nodes) { return nodes.suspected; }},
    MetricRow{Metric({.name = "redis_cluster_shards_without_replica",
                      .help = "Masters with hash slots that have no working replica."}),
              [](const ClusterNodes& nodes) { return nodes.shards_without_replica; }},
    MetricRow{Metric({.name = "redis_cluster_shards_on_one_host",
                      .help = "Masters with hash slots whose working replicas all have their IP "
                              "address."}),
              [](const ClusterNodes& nodes) { return nodes.on_one_host.size(); }});

/// Labels: node_id, address. Role and shard change in a failover, so only one metric has them.
inline constexpr MetricTable kClusterNodeTable(
    MetricRow{Metric({.name = "redis_cluster_node_info",
                      .help = "Always 1; the labels describe a node of the cluster."},
                     "node_id", "address", "role", "shard"),
              [](const ClusterNode& node, const auto& put) {
                put(1, node.master ? "master" : "slave", node.shard);
              }},
    MetricRow{Metric({.name = "redis_cluster_node_up",
                      .help = "Whether a node of the cluster can be reached, as the probed node "
                              "sees it."},
                     "node_id", "address"),
              [](const ClusterNode& node) { return node.up(); }},
    MetricRow{Metric({.name = "redis_cluster_node_failed",
                      .help = "Whether the cluster considers a node failed."},
                     "node_id", "address"),
              [](const ClusterNode& node) { return node.failed; }},
    MetricRow{Metric({.name = "redis_cluster_node_slots",
                      .help = "Hash slots that are assigned to a node."},
                     "node_id", "address"),
              [](const ClusterNode& node) { return node.slots; }});

inline constexpr Metric kShardReplicas({.name = "redis_cluster_shard_replicas",
                                        .help = "Replicas of a shard with hash slots that the "
                                                "cluster does not consider failed."},
                                       "shard");
inline constexpr Metric kUnlistedNodes({.name = "redis_cluster_nodes_unlisted",
                                        .help = "Nodes of the cluster that have no series of "
                                                "their own because there are too many."});

/// Nodes with series of their own.
inline constexpr std::size_t kMaxListedNodes = 100;

/// Publishes the counts, and the first `kMaxListedNodes` nodes with their shards.
void add_cluster_nodes(const ClusterNodes& nodes, Part& out);

}  // namespace vitalsd::redis
