// The cluster as one of its nodes sees it: CLUSTER INFO and CLUSTER NODES. Names are those of
// redis_exporter if it has the metric.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/probe.hpp"
#include "probes/redis/cluster_nodes.hpp"
#include "probes/redis/info.hpp"

#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {
class RedisConnection;
}

namespace vitalsd::redis {

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
    MetricRow{
        Metric({.name = "redis_cluster_slots_pfail",
                .help = "Hash slots whose node is suspected to be down, as this node sees it."}),
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

/// What a node replied about its cluster.
struct ClusterReplies {
  std::string info;                  ///< CLUSTER INFO
  std::optional<std::string> nodes;  ///< CLUSTER NODES; nothing if the user may not run it
};

/// Queries a node of a cluster. A missing permission fails the part "cluster" only. Returns nothing
/// if the node refuses CLUSTER INFO. Throws ProbeError.
asio::awaitable<std::optional<ClusterReplies>> ask_cluster(net::RedisConnection& connection,
                                                           SampleSet& out);
/// Publishes the replies. `replicas_expected`: whether each shard must have a replica. Returns the
/// nodes, none if they are unknown.
ClusterNodes add_cluster(const ClusterReplies& replies, bool replicas_expected, SampleSet& out);

/// The first names, and "..." for the others.
std::string list_names(const std::vector<std::string>& names);

}  // namespace vitalsd::redis
