// The cluster as one of its nodes sees it: CLUSTER INFO and CLUSTER NODES. Names are those of
// redis_exporter if it has the metric.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/probe.hpp"
#include "probes/redis/info.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {
class RedisConnection;
}

namespace vitalsd::redis {

/// The counts of CLUSTER NODES.
struct ClusterNodes {
  std::vector<std::string> failed;  ///< addresses of nodes that the cluster considers failed
  std::size_t suspected = 0;        ///< nodes that only this node cannot reach
  std::size_t shards_without_replica = 0;
  /// Addresses of masters whose working replicas are all on their host: the end of one host ends
  /// the shard.
  std::vector<std::string> on_one_host;
};

/// Ignores lines that are not nodes. Pure.
ClusterNodes read_cluster_nodes(std::string_view text);

/// No labels.
inline constexpr MetricTable kClusterTable(
    MetricRow{Metric({.name = "redis_cluster_state",
                      .help = "Whether the cluster serves requests, as this node sees it."}),
              [](const RedisInfo& info) { return info.is("cluster_state", "ok"); }},
    MetricRow{Metric({.name = "redis_cluster_slots_assigned",
                      .help = "Hash slots that are assigned to a node."}),
              [](const RedisInfo& info) { return info.number("cluster_slots_assigned"); }},
    MetricRow{Metric({.name = "redis_cluster_slots_ok",
                      .help = "Hash slots whose node is not suspected to be down."}),
              [](const RedisInfo& info) { return info.number("cluster_slots_ok"); }},
    MetricRow{Metric({.name = "redis_cluster_slots_pfail",
                      .help = "Hash slots whose node this node cannot reach."}),
              [](const RedisInfo& info) { return info.number("cluster_slots_pfail"); }},
    MetricRow{Metric({.name = "redis_cluster_slots_fail",
                      .help = "Hash slots whose node the cluster considers failed."}),
              [](const RedisInfo& info) { return info.number("cluster_slots_fail"); }},
    MetricRow{Metric({.name = "redis_cluster_known_nodes", .help = "Nodes that this node knows."}),
              [](const RedisInfo& info) { return info.number("cluster_known_nodes"); }},
    MetricRow{Metric({.name = "redis_cluster_size",
                      .help = "Masters that serve at least one hash slot."}),
              [](const RedisInfo& info) { return info.number("cluster_size"); }},
    MetricRow{Metric({.name = "redis_cluster_current_epoch", .help = "The cluster's epoch."}),
              [](const RedisInfo& info) { return info.number("cluster_current_epoch"); }},
    MetricRow{
        Metric({.name = "redis_cluster_my_epoch", .help = "The configuration epoch of this node."}),
        [](const RedisInfo& info) { return info.number("cluster_my_epoch"); }},
    MetricRow{Metric({.name = "redis_cluster_messages_sent_total",
                      .type = Type::counter,
                      .help = "Messages sent on the cluster bus."}),
              [](const RedisInfo& info) { return info.number("cluster_stats_messages_sent"); }},
    MetricRow{
        Metric({.name = "redis_cluster_messages_received_total",
                .type = Type::counter,
                .help = "Messages received on the cluster bus."}),
        [](const RedisInfo& info) { return info.number("cluster_stats_messages_received"); }});

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

inline constexpr Check kSlotsCheck{
    .name = "cluster_slots",
    .worse = Worse::above,
    .warn = {},
    .critical = 0,
    .help = "hash slots that the cluster does not serve, as this node sees it"};
inline constexpr Check kFailedNodesCheck{.name = "cluster_nodes",
                                         .worse = Worse::above,
                                         .warn = 0,
                                         .critical = {},
                                         .help = "nodes that the cluster considers failed"};
inline constexpr Check kShardsCheck{
    .name = "shards_without_replica",
    .worse = Worse::above,
    .warn = 0,
    .critical = {},
    .help = "masters with hash slots that have no working replica, if the option replicas is set"};

inline constexpr Check kOneHostCheck{
    .name = "shards_on_one_host",
    .worse = Worse::above,
    .warn = 0,
    .critical = {},
    .help =
        "masters with hash slots whose working replicas all have their IP address, if the "
        "option replicas is set"};

/// Queries a node of a cluster. A missing permission fails the part "cluster" only.
/// `replicas_expected`: whether each shard must have a replica. Throws ProbeError.
asio::awaitable<void> add_cluster(net::RedisConnection& connection, bool replicas_expected,
                                  SampleSet& out);

}  // namespace vitalsd::redis
