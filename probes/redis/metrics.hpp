// The metrics of kind `redis`, each with the field of INFO from which it is read. Names are those
// of redis_exporter if it has the metric.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "probes/redis/cluster.hpp"
#include "probes/redis/cluster_walk.hpp"
#include "probes/redis/info.hpp"
#include "probes/redis/replication.hpp"
#include "probes/redis/sentinel.hpp"
#include "probes/redis/slow_lane.hpp"

#include <array>
#include <optional>
#include <string_view>
#include <utility>

namespace vitalsd::redis {

/// Reads a metric's value from a field. Nothing if it is negative: -1 means unknown.
struct Field {
  std::string_view name;
  std::optional<double> operator()(const RedisInfo& info) const {
    const std::optional<double> value = info.number(name);
    return value && *value >= 0 ? value : std::nullopt;
  }
};

/// 1 if a field has the expected value, 0 if it has another one, nothing if it is missing.
struct Status {
  std::string_view name;
  std::string_view expected;
  std::optional<double> operator()(const RedisInfo& info) const { return info.is(name, expected); }
};

/// Reads a metric's value from the field of a database, "keys=12,expires=3".
struct SubField {
  std::string_view name;
  std::optional<double> operator()(std::string_view compound) const {
    return to_number(sub_field(compound, name));
  }
};

/// Standalone, sentinel or cluster. Valkey renamed the field.
inline std::string_view mode_of(const RedisInfo& info) {
  const std::string_view mode = info.text("redis_mode");
  return mode.empty() ? info.text("server_mode") : mode;
}

/// The implementation, and its own version.
inline std::pair<std::string_view, std::string_view> server_of(const RedisInfo& info) {
  for (const auto& [name, field] :
       {std::pair("valkey", "valkey_version"), std::pair("dragonfly", "dragonfly_version")}) {
    if (const std::string_view version = info.text(field); !version.empty()) {
      return {name, version};
    }
  }
  return {"redis", info.text("redis_version")};
}

inline constexpr Metric kUp({.name = "redis_up",
                             .help = "Whether the server is up (1) or down (0)."});

/// No labels.
inline constexpr MetricTable kInfoTable(
    MetricRow{Metric({.name = "redis_loading_dump_file",
                      .help = "Whether the server is loading its data and does not serve yet."}),
              [](const RedisInfo& info) { return info.number("loading").value_or(0) != 0; }},
    MetricRow{Metric({.name = "redis_memory_used_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory that the server has allocated."}),
              Field("used_memory")},
    MetricRow{Metric({.name = "redis_memory_max_bytes",
                      .unit = Unit::bytes,
                      .help = "The limit maxmemory; absent if it is not set."}),
              [](const RedisInfo& info) {
                const std::optional<double> limit = info.number("maxmemory");
                return limit && *limit > 0 ? limit : std::nullopt;
              }},
    MetricRow{Metric({.name = "redis_memory_limited",
                      .help = "Whether the server has a memory limit (maxmemory)."}),
              [](const RedisInfo& info) -> std::optional<bool> {
                const std::optional<double> limit = info.number("maxmemory");
                if (!limit) return std::nullopt;
                return *limit > 0;
              }},
    MetricRow{Metric({.name = "redis_total_system_memory_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory of the machine or container that the server runs on."}),
              Field("total_system_memory")},
    MetricRow{Metric({.name = "redis_memory_used_peak_bytes",
                      .unit = Unit::bytes,
                      .help = "The most memory that the server has had allocated."}),
              Field("used_memory_peak")},
    MetricRow{Metric({.name = "redis_memory_used_rss_bytes",
                      .unit = Unit::bytes,
                      .help = "Resident memory of the server."}),
              Field("used_memory_rss")},
    MetricRow{Metric({.name = "redis_mem_fragmentation_ratio",
                      .unit = Unit::ratio,
                      .help = "Resident memory over allocated memory."}),
              Field("mem_fragmentation_ratio")},
    MetricRow{Metric({.name = "redis_allocator_frag_ratio",
                      .unit = Unit::ratio,
                      .help = "Pages of the allocator over the memory allocated in them."}),
              Field("allocator_frag_ratio")},
    MetricRow{Metric({.name = "redis_allocator_frag_bytes",
                      .unit = Unit::bytes,
                      .help = "Memory lost to fragmentation in pages of the allocator."}),
              Field("allocator_frag_bytes")},
    MetricRow{Metric({.name = "redis_keyspace_hits_total",
                      .type = Type::counter,
                      .help = "Lookups that found their key."}),
              Field("keyspace_hits")},
    MetricRow{Metric({.name = "redis_keyspace_misses_total",
                      .type = Type::counter,
                      .help = "Lookups that did not find their key."}),
              Field("keyspace_misses")},
    MetricRow{Metric({.name = "redis_evicted_keys_total",
                      .type = Type::counter,
                      .help = "Keys that were removed because memory was full."}),
              Field("evicted_keys")},
    MetricRow{Metric({.name = "redis_expired_keys_total",
                      .type = Type::counter,
                      .help = "Keys whose time to live has expired."}),
              Field("expired_keys")},
    MetricRow{Metric({.name = "redis_connected_clients", .help = "Clients that are connected."}),
              Field("connected_clients")},
    MetricRow{
        Metric({.name = "redis_blocked_clients", .help = "Clients that wait in a blocking call."}),
        Field("blocked_clients")},
    MetricRow{Metric({.name = "redis_max_clients", .help = "The limit maxclients."}),
              Field("maxclients")},
    MetricRow{Metric({.name = "redis_config_maxclients", .help = "The limit maxclients."}),
              Field("maxclients")},
    MetricRow{Metric({.name = "redis_connections_received_total",
                      .type = Type::counter,
                      .help = "Connections that the server has accepted."}),
              Field("total_connections_received")},
    MetricRow{
        Metric({.name = "redis_client_output_buffer_limit_disconnections_total",
                .type = Type::counter,
                .help = "Clients disconnected because they read too slowly (from Redis 7.2)."}),
        Field("client_output_buffer_limit_disconnections")},
    MetricRow{Metric({.name = "redis_rejected_connections_total",
                      .type = Type::counter,
                      .help = "Connections rejected because of maxclients."}),
              Field("rejected_connections")},
    MetricRow{Metric({.name = "redis_acl_access_denied_auth_total",
                      .type = Type::counter,
                      .help = "Failed authentications (from Redis 7.2)."}),
              Field("acl_access_denied_auth")},
    MetricRow{Metric({.name = "redis_acl_access_denied_cmd_total",
                      .type = Type::counter,
                      .help = "Commands that a user's ACL refused (from Redis 7.2)."}),
              Field("acl_access_denied_cmd")},
    MetricRow{Metric({.name = "redis_acl_access_denied_key_total",
                      .type = Type::counter,
                      .help = "Accesses to keys that a user's ACL refused (from Redis 7.2)."}),
              Field("acl_access_denied_key")},
    MetricRow{Metric({.name = "redis_acl_access_denied_channel_total",
                      .type = Type::counter,
                      .help = "Accesses to channels that a user's ACL refused (from Redis 7.2)."}),
              Field("acl_access_denied_channel")},
    MetricRow{Metric({.name = "redis_acl_access_denied_db_total",
                      .type = Type::counter,
                      .help = "Accesses to databases that a user's ACL refused (Valkey 9.1)."}),
              Field("acl_access_denied_db")},
    MetricRow{Metric({.name = "redis_commands_processed_total",
                      .type = Type::counter,
                      .help = "Commands that the server has processed."}),
              Field("total_commands_processed")},
    MetricRow{Metric({.name = "redis_cpu_sys_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "System CPU time of the server."}),
              Field("used_cpu_sys")},
    MetricRow{Metric({.name = "redis_cpu_user_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "User CPU time of the server."}),
              Field("used_cpu_user")},
    MetricRow{Metric({.name = "redis_cpu_sys_main_thread_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "System CPU time of the main thread, without I/O and background "
                              "threads."}),
              Field("used_cpu_sys_main_thread")},
    MetricRow{Metric({.name = "redis_cpu_user_main_thread_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "User CPU time of the main thread, without I/O and background "
                              "threads."}),
              Field("used_cpu_user_main_thread")},
    MetricRow{Metric({.name = "redis_net_input_bytes_total",
                      .type = Type::counter,
                      .unit = Unit::bytes,
                      .help = "Bytes that the server has received."}),
              Field("total_net_input_bytes")},
    MetricRow{Metric({.name = "redis_net_output_bytes_total",
                      .type = Type::counter,
                      .unit = Unit::bytes,
                      .help = "Bytes that the server has sent."}),
              Field("total_net_output_bytes")},
    MetricRow{Metric({.name = "redis_uptime_in_seconds",
                      .unit = Unit::seconds,
                      .help = "Time since the server started."}),
              Field("uptime_in_seconds")},
    MetricRow{Metric({.name = "redis_rdb_last_save_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the last snapshot was saved, in Unix time.",
                      .keep = Keep::fact}),
              Field("rdb_last_save_time")},
    MetricRow{Metric({.name = "redis_rdb_last_bgsave_status",
                      .help = "Whether the last attempt to save a snapshot succeeded."}),
              Status("rdb_last_bgsave_status", "ok")},
    MetricRow{Metric({.name = "redis_rdb_changes_since_last_save",
                      .help = "Writes since the last snapshot."}),
              Field("rdb_changes_since_last_save")},
    MetricRow{Metric({.name = "redis_rdb_bgsave_in_progress",
                      .help = "Whether the server is saving a snapshot."}),
              Field("rdb_bgsave_in_progress")},
    MetricRow{Metric({.name = "redis_rdb_last_bgsave_duration_sec",
                      .help = "Duration of the last snapshot in seconds."}),
              Field("rdb_last_bgsave_time_sec")},
    MetricRow{Metric({.name = "redis_latest_fork_usec",
                      .help = "Duration of the last fork in microseconds, during which the server "
                              "does not respond."}),
              Field("latest_fork_usec")},
    MetricRow{
        Metric({.name = "redis_aof_enabled", .help = "Whether the append-only file is in use."}),
        Field("aof_enabled")},
    MetricRow{Metric({.name = "redis_aof_last_write_status",
                      .help = "Whether the last write to the append-only file succeeded."}),
              Status("aof_last_write_status", "ok")},
    MetricRow{Metric({.name = "redis_aof_last_bgrewrite_status",
                      .help = "Whether the last rewrite of the append-only file succeeded."}),
              Status("aof_last_bgrewrite_status", "ok")},
    MetricRow{Metric({.name = "redis_rdb_current_bgsave_duration_sec",
                      .help = "Time since the snapshot in progress was started, in seconds."}),
              Field("rdb_current_bgsave_time_sec")},
    MetricRow{Metric({.name = "redis_aof_rewrite_in_progress",
                      .help = "Whether the append-only file is being rewritten."}),
              Field("aof_rewrite_in_progress")},
    MetricRow{Metric({.name = "redis_aof_last_rewrite_duration_sec",
                      .help = "Duration of the last rewrite of the append-only file in seconds."}),
              Field("aof_last_rewrite_time_sec")},
    MetricRow{Metric({.name = "redis_aof_current_size_bytes",
                      .unit = Unit::bytes,
                      .help = "Size of the append-only file."}),
              Field("aof_current_size")},
    MetricRow{
        Metric({.name = "redis_instance_info", .help = "Always 1; the labels describe the server."},
               "role", "redis_version", "redis_mode", "maxmemory_policy"),
        [](const RedisInfo& info, const auto& put) {
          put(1, info.text("role"), info.text("redis_version"), mode_of(info),
              info.text("maxmemory_policy"));
        }},
    MetricRow{Metric({.name = "redis_server_info",
                      .help = "Always 1; the labels are the implementation (redis, valkey, "
                              "dragonfly) and its own version, while redis_version is the one "
                              "that it is compatible with."},
                     "server_name", "version"),
              [](const RedisInfo& info, const auto& put) {
                const auto [name, version] = server_of(info);
                if (!version.empty()) put(1, name, version);
              }});

/// Label: err. One for each code of errors ("errorstat_OOM"), from Redis 6.2.
inline constexpr Metric kErrors({.name = "redis_errors_total",
                                 .type = Type::counter,
                                 .help = "Error replies of the server, by code."},
                                "err");
inline constexpr Metric kOtherErrors({.name = "redis_other_errors_total",
                                      .type = Type::counter,
                                      .help = "Error replies whose codes have no series of their "
                                              "own because there are too many."});

/// Label: db.
inline constexpr MetricTable kDatabaseTable(
    MetricRow{Metric({.name = "redis_db_keys", .help = "Keys in a database."}, "db"),
              SubField("keys")},
    MetricRow{Metric({.name = "redis_db_keys_expiring",
                      .help = "Keys in a database that have a time to live."},
                     "db"),
              SubField("expires")});

inline constexpr Metric kHitRate(
    {.name = "redis_cache_hit_rate",
     .help =
         "Share of lookups that found their key, over the last 5 minutes; absent if there were "
         "fewer than 10, or if LLEN by other clients leaves it uncertain by more than 1 percentage "
         "point."});
inline constexpr Metric kListLength({.name = "redis_key_size", .help = "Length of a watched list."},
                                    "db", "key");

inline constexpr Metric kSnapshots(
    {.name = "redis_snapshots_configured",
     .help = "Whether the server saves snapshots by itself (save); absent if the user may not run "
             "CONFIG GET."});

inline constexpr auto kMetrics =
    metric_list(kInfoTable, kErrors, kOtherErrors, kReplicationTable, kMasterTable, kReplicaTable,
                kDatabaseTable, kHitRate, kListLength, kSnapshots, kCommandTable, kOtherCommands,
                kSlowLogLength, kSlowLogLastId, kLastSlow, kCommandLogLength, kCommandLogLastId,
                kCommandLogSize, kLatencySpike, kLatencyDuration, kLatencyPercentile,
                kOtherLatencies, kPermitted, kClusterTable, kClusterNodesTable, kClusterNodeTable,
                kShardReplicas, kUnlistedNodes, kClusterViewTable, kSentinelTable, kMonitoredTable,
                kMasterDetailsTable, kQuorum);

inline constexpr Check kMemoryCheck{.name = "memory",
                                    .unit = Unit::ratio,
                                    .warn = 0.85,
                                    .critical = 0.90,
                                    .help = "memory used over maxmemory"};
inline constexpr Check kHitRateCheck{
    .name = "hit_rate",
    .unit = Unit::ratio,
    .worse = Worse::below,
    .warn = 0.80,
    .critical = {},
    .help = "share of lookups that found their key, over 5 minutes"};
inline constexpr Check kEvictionsCheck{
    .name = "evictions",
    .unit = Unit::ratio,
    .warn = 0.5,
    .critical = {},
    .help =
        "keys evicted in 5 minutes over these and the keys that are left, if a policy evicts keys"};
inline constexpr Check kListCheck{.name = "list_length",
                                  .worse = Worse::above,
                                  .warn = 1000,
                                  .critical = {},
                                  .help = "entries of a watched list"};
inline constexpr Check kSnapshotCheck{
    .name = "snapshot_age",
    .unit = Unit::seconds,
    .warn = 6 * 3600,
    .critical = {},
    .help = "age of the last snapshot if there are newer writes and the server saves snapshots"};
inline constexpr Check kClientsCheck{.name = "clients",
                                     .unit = Unit::ratio,
                                     .warn = 0.80,
                                     .critical = 0.95,
                                     .help = "connected clients over maxclients"};
inline constexpr Check kFragmentationCheck{
    .name = "fragmentation",
    .unit = Unit::ratio,
    .warn = 1.5,
    .critical = {},
    .help =
        "pages of the allocator over the memory allocated in them, if more than 100 MB are lost"};
inline constexpr Check kSavingCheck{
    .name = "saving",
    .worse = Worse::above,
    .warn = {},
    .critical = 0,
    .help = "failures of the last snapshot, write and rewrite of the append-only file"};
inline constexpr std::array<const Check*, 22> kChecks = {
    &kSlowCommandsCheck, &kMemoryCheck,      &kHitRateCheck,    &kEvictionsCheck,
    &kListCheck,         &kSnapshotCheck,    &kClientsCheck,    &kFragmentationCheck,
    &kSavingCheck,       &kMasterLinkCheck,  &kReplicaLagCheck, &kReplicasCheck,
    &kSlotsCheck,        &kFailedNodesCheck, &kShardsCheck,     &kOneHostCheck,
    &kViewsCheck,        &kMasterCheck,      &kQuorumCheck,     &kTiltCheck,
    &kSentinelsCheck,    &kSurplusCheck};

}  // namespace vitalsd::redis
