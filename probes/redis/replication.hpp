// The replication of a server, from INFO: the masters that it follows, and the replicas that follow
// it. Names are those of redis_exporter. Pure.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/backlog.hpp"
#include "probes/redis/info.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::redis {

/// A master that the server follows. Only KeyDB follows several.
struct MasterLink {
  std::string_view host;
  std::string_view port;
  std::optional<double> up;                  ///< 1 or 0
  std::optional<double> last_io_seconds;     ///< nothing while the link is down
  std::optional<double> sync_in_progress;    ///< 1 or 0
  std::optional<double> down_since_seconds;  ///< nothing if the link was never up
};

/// A replica that follows the server.
struct Replica {
  std::string_view ip;
  std::string_view port;
  std::string_view state;             ///< "online" if it receives changes
  std::optional<double> offset;       ///< bytes of the stream that it has confirmed
  std::optional<double> lag_seconds;  ///< since its last confirmation; nothing before the first
};

/// Views of `info`. Empty for a server that is not a replica.
std::vector<MasterLink> read_masters(const RedisInfo& info);
/// Views of `info`. Of several with one address, the last one.
std::vector<Replica> read_replicas(const RedisInfo& info);

/// No labels.
inline constexpr MetricTable kReplicationTable(
    MetricRow{Metric({.name = "redis_connected_slaves", .help = "Replicas that are connected."}),
              [](const RedisInfo& info) { return info.number("connected_slaves"); }},
    MetricRow{Metric({.name = "redis_master_repl_offset",
                      .help = "Bytes of the replication stream that the server has written or "
                              "received."}),
              [](const RedisInfo& info) { return info.number("master_repl_offset"); }},
    MetricRow{Metric({.name = "redis_replica_resyncs_full",
                      .help = "Full synchronizations of replicas since the server started."}),
              [](const RedisInfo& info) { return info.number("sync_full"); }},
    MetricRow{Metric({.name = "redis_replica_partial_resync_accepted",
                      .help = "Partial synchronizations of replicas since the server started."}),
              [](const RedisInfo& info) { return info.number("sync_partial_ok"); }},
    MetricRow{
        Metric({.name = "redis_replica_partial_resync_denied",
                .help = "Partial synchronizations that the server refused since it started."}),
        [](const RedisInfo& info) { return info.number("sync_partial_err"); }},
    MetricRow{Metric({.name = "redis_slave_info",
                      .help = "Always 1; the labels describe the server as a replica."},
                     "master_host", "master_port", "read_only"),
              [](const RedisInfo& info, const auto& put) {
                if (info.text("role") != "slave") return;
                put(1, info.text("master_host"), info.text("master_port"),
                    info.text("slave_read_only"));
              }});

/// Labels: master_host, master_port.
inline constexpr MetricTable kMasterTable(
    MetricRow{Metric({.name = "redis_master_link_up",
                      .help = "Whether this replica is connected to its master."},
                     "master_host", "master_port"),
              [](const MasterLink& link) { return link.up; }},
    MetricRow{Metric({.name = "redis_master_sync_in_progress",
                      .help = "Whether this replica is copying the data of its master."},
                     "master_host", "master_port"),
              [](const MasterLink& link) { return link.sync_in_progress; }},
    MetricRow{Metric({.name = "redis_master_last_io_seconds_ago",
                      .help = "Seconds since this replica has received something from its master."},
                     "master_host", "master_port"),
              [](const MasterLink& link) { return link.last_io_seconds; }});

/// Labels: slave_ip, slave_port, slave_state.
inline constexpr MetricTable kReplicaTable(
    MetricRow{Metric({.name = "redis_connected_slave_offset_bytes",
                      .unit = Unit::bytes,
                      .help = "Bytes of the replication stream that a replica has confirmed."},
                     "slave_ip", "slave_port", "slave_state"),
              [](const Replica& replica) { return replica.offset; }},
    MetricRow{Metric({.name = "redis_connected_slave_lag_seconds",
                      .unit = Unit::seconds,
                      .help = "Time since a replica has confirmed what it has received."},
                     "slave_ip", "slave_port", "slave_state"),
              [](const Replica& replica) { return replica.lag_seconds; }});

inline constexpr Check kMasterLinkCheck{
    .name = "master_link",
    .unit = Unit::seconds,
    .warn = 60,
    .critical = 300,
    .help = "time for which this replica has not been connected to its master"};
inline constexpr Check kReplicaLagCheck{
    .name = "replica_lag",
    .unit = Unit::seconds,
    .warn = 30,
    .critical = {},
    .help = "time since a replica has confirmed what it has received"};
inline constexpr Check kReplicasCheck{
    .name = "replicas",
    .worse = Worse::below,
    .warn = {},
    .critical = {},
    .help = "replicas that receive changes, if the option replicas is set"};

/// Publishes the replication of a server. One for each probe: it measures for how long a link has
/// been down.
class Replication {
 public:
  /// `expected` is the number of replicas that a master must have. At most `kMaxReplicas` replicas
  /// are published.
  void add(const RedisInfo& info, std::optional<std::int64_t> expected, SampleSet& out);

  static constexpr std::size_t kMaxReplicas = 100;

 private:
  Backlog down_;
};

}  // namespace vitalsd::redis
