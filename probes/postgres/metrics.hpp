// The metrics of kind `postgres`, each with the column of statements.hpp from which it is read.
// Names are those of postgres_exporter, unless the documented rules require another one.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/outcome.hpp"
#include "probes/postgres/custom_queries.hpp"
#include "probes/postgres/fast_metrics.hpp"
#include "probes/postgres/rows.hpp"
#include "probes/postgres/slow_metrics.hpp"

#include <array>
#include <optional>
#include <string_view>

namespace vitalsd::postgres {

/// A row of the databases, with what other results contain about the database.
struct Database : Row {
  double connections;
  std::optional<double> max_connections;
  double waiting_locks;
};

inline constexpr std::string_view kRatioRule =
    "HighDatabaseConnections divides a series of this name by pg_settings_max_connections";

inline constexpr Metric kUp(
    {.name = "pg_up", .help = "Whether the server is up (1), even if it is full, or down (0)."});

/// No labels.
inline constexpr MetricTable kServerTable(
    MetricRow{Metric({.name = "pg_settings_superuser_reserved_connections",
                      .help = "Connections that are reserved for superusers."}),
              Column("superuser_reserved_connections")},
    MetricRow{Metric({.name = "pg_settings_reserved_connections",
                      .help = "Connections that are reserved for roles with "
                              "pg_use_reserved_connections."}),
              Column("reserved_connections")},
    MetricRow{Metric({.name = "pg_monitoring_incomplete",
                      .help = "Whether metrics are missing because the probe's role lacks "
                              "pg_monitor (1) or none is missing (0)."},
                     "reason"),
              [](const Row& server, const auto& put) {
                put(!server.is_true("reads_all_stats"), reason_name(Reason::permission));
              }},
    MetricRow{Metric({.name = "pg_replication_is_replica",
                      .help = "Whether the server is in recovery, as a standby is."}),
              [](const Row& server) { return server.is_true("in_recovery"); }},
    MetricRow{Metric({.name = "pg_replication_lag_seconds",
                      .unit = Unit::seconds,
                      .help = "On a standby: age of the last replayed transaction if received WAL "
                              "is not replayed yet or no WAL is received, else 0."}),
              Column("replay_lag")},
    MetricRow{Metric({.name = "pg_stat_wal_receiver_streaming",
                      .help = "On a standby: whether it receives WAL from its primary, which has "
                              "sent a message within three fourths of wal_receiver_timeout."}),
              Column("streaming_receivers")},
    MetricRow{Metric({.name = "pg_stat_wal_receiver_last_msg_receipt_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "On a standby that receives WAL: when the primary last sent a "
                              "message, in Unix time."}),
              Column("last_message_time")},
    MetricRow{Metric({.name = "pg_postmaster_start_time_seconds",
                      .unit = Unit::seconds,
                      .help = "When the server started, in Unix time."}),
              Column("start_time")},
    MetricRow{Metric({.name = "pg_static", .help = "Always 1; the labels contain the version."},
                     "short_version", "version"),
              [](const Row& server, const auto& put) {
                put(1, server.text("short_version"), server.text("version"));
              }});

/// Label: datname. Both sides of the documented ratio have the same labels, so that they match.
inline constexpr MetricTable kDatabaseTable(
    MetricRow{Metric({.name = "pg_stat_activity_count",
                      .help = "Client connections to a database, without the probe's own.",
                      .waiver = kRatioRule},
                     "datname"),
              [](const Database& database) { return database.connections; }},
    MetricRow{Metric({.name = "pg_settings_max_connections",
                      .help = "The server's max_connections, repeated for each database."},
                     "datname"),
              [](const Database& database) { return database.max_connections; }},
    MetricRow{Metric({.name = "pg_stat_database_xact_commit",
                      .type = Type::counter,
                      .help = "Transactions that were committed in a database.",
                      .waiver = kExporter},
                     "datname"),
              Column("xact_commit")},
    MetricRow{Metric({.name = "pg_stat_database_xact_rollback",
                      .type = Type::counter,
                      .help = "Transactions that were rolled back in a database.",
                      .waiver = kExporter},
                     "datname"),
              Column("xact_rollback")},
    MetricRow{Metric({.name = "pg_stat_database_blks_read",
                      .type = Type::counter,
                      .help = "Blocks that were read from disk for a database.",
                      .waiver = kExporter},
                     "datname"),
              Column("blks_read")},
    MetricRow{Metric({.name = "pg_stat_database_blks_hit",
                      .type = Type::counter,
                      .help = "Blocks of a database that were found in the cache.",
                      .waiver = kExporter},
                     "datname"),
              Column("blks_hit")},
    MetricRow{Metric({.name = "pg_stat_database_deadlocks",
                      .type = Type::counter,
                      .help = "Deadlocks that were detected in a database.",
                      .waiver = kExporter},
                     "datname"),
              Column("deadlocks")},
    MetricRow{Metric({.name = "pg_stat_database_conflicts",
                      .type = Type::counter,
                      .help = "Queries on a standby that were cancelled by recovery.",
                      .waiver = kExporter},
                     "datname"),
              Column("conflicts")},
    MetricRow{Metric({.name = "pg_stat_database_temp_bytes",
                      .type = Type::counter,
                      .unit = Unit::bytes,
                      .help = "Bytes that queries of a database wrote to temporary files.",
                      .waiver = kExporter},
                     "datname"),
              Column("temp_bytes")},
    MetricRow{Metric({.name = "pg_stat_database_temp_files",
                      .type = Type::counter,
                      .help = "Temporary files that queries of a database wrote.",
                      .waiver = kExporter},
                     "datname"),
              Column("temp_files")},
    MetricRow{
        Metric({.name = "pg_locks_waiting", .help = "Locks awaited in a database."}, "datname"),
        [](const Database& database) { return database.waiting_locks; }});

/// Labels: datname, state.
inline constexpr MetricTable kActivityTable(
    MetricRow{Metric({.name = "pg_stat_activity_connections",
                      .help = "Client connections to a database by state, without the probe's "
                              "own."},
                     "datname", "state"),
              Column("connections")},
    MetricRow{Metric({.name = "pg_stat_activity_max_tx_duration",
                      .help = "Age in seconds of the oldest open transaction of a database by "
                              "state of its connection."},
                     "datname", "state"),
              Column("longest_transaction")});

/// Labels: datname, mode.
inline constexpr MetricTable kLockTable(MetricRow{
    Metric({.name = "pg_locks_count",
            .help = "Locks held or awaited in a database, by mode.",
            .waiver = kExporter},
           "datname", "mode"),
    Column("locks")});

/// Labels: application_name, client_addr.
inline constexpr MetricTable kStandbyTable(
    MetricRow{Metric({.name = "pg_stat_replication_pg_wal_lsn_diff",
                      .help = "Bytes of WAL that a connected standby has not replayed yet; the "
                              "maximum of all standbys with the same name and address."},
                     "application_name", "client_addr"),
              Column("lag_bytes")},
    MetricRow{Metric({.name = "pg_stat_replication_flush_lag_seconds",
                      .unit = Unit::seconds,
                      .help = "Time until a connected standby reported that recent WAL was on its "
                              "disk; absent while nothing is written."},
                     "application_name", "client_addr"),
              Column("flush_lag")},
    MetricRow{Metric({.name = "pg_stat_replication_replay_lag_seconds",
                      .unit = Unit::seconds,
                      .help = "Time until a connected standby reported that recent WAL was "
                              "replayed; absent while nothing is written."},
                     "application_name", "client_addr"),
              Column("replay_lag")});

inline constexpr Metric kStandbys({.name = "pg_stat_replication_standbys",
                                   .help = "Standbys that are connected."});

/// No labels.
inline constexpr MetricTable kArchiverTable(
    MetricRow{Metric({.name = "pg_stat_archiver_archived_count",
                      .type = Type::counter,
                      .help = "WAL files that were archived.",
                      .waiver = kExporter}),
              Column("archived_count")},
    MetricRow{Metric({.name = "pg_stat_archiver_failed_count",
                      .type = Type::counter,
                      .help = "Failed attempts to archive a WAL file.",
                      .waiver = kExporter}),
              Column("failed_count")},
    MetricRow{Metric({.name = "pg_stat_archiver_last_archived_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When a WAL file was last archived, in Unix time.",
                      .keep = Keep::fact}),
              Column("last_archived_time")},
    MetricRow{Metric({.name = "pg_stat_archiver_last_failed_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When archiving a WAL file last failed, in Unix time.",
                      .keep = Keep::fact}),
              Column("last_failed_time")},
    MetricRow{
        Metric({.name = "pg_stat_archiver_failing",
                .help = "Whether the last attempt to archive a WAL file failed; absent if the "
                        "server does not archive."}),
        [](const Row& archiver) {
          return archiver.is_true("archives") ? std::optional(archiver.is_true("failing"))
                                              : std::nullopt;
        }});

inline constexpr Metric kSize({.name = "pg_database_size_bytes",
                               .unit = Unit::bytes,
                               .help = "Disk space that a database uses."},
                              "datname");

inline constexpr auto kMetrics =
    metric_list(kServerTable, kDatabaseTable, kActivityTable, kLockTable, kStandbyTable, kStandbys,
                kArchiverTable, kSize, kWraparoundTable, kSlotTable, kSlotStateTable, kBlockedTable,
                kTransactionTable, kRecoveryTable, kBackgroundWriterTable, kOldCheckpointTable,
                kCheckpointerTable, kChecksumTable, kUserTables, kOtherTables, kSequenceUsed,
                kUnreadableSequences, kUnjudgedSequences, kInvalidIndexSize, kInvalidIndexes,
                kSettings, kPendingRestart, kWalTable, kArchiveReady, kStatementTable,
                kAllStatementCalls, kAllStatementSeconds, kOtherStatements, kPermitted,
                kCollectorDuration, kCollectorSuccess, kScrapeError, kQueryDuration, kQuerySuccess);

inline constexpr Check kConnectionsCheck{.name = "connections",
                                         .unit = Unit::ratio,
                                         .warn = 0.80,
                                         .critical = 0.90,
                                         .help = "client connections over max_connections"};
inline constexpr Check kArchiveCheck{
    .name = "wal_archive_age",
    .unit = Unit::seconds,
    .warn = 15 * 60,
    .critical = {},
    .help =
        "time for which a complete WAL file has been waiting to be archived, if the server "
        "archives"};
inline constexpr std::array kChecks = {
    &kConnectionsCheck,    &kArchiveCheck,      &kWraparoundCheck,        &kSlotWalCheck,
    &kSlotStatusCheck,     &kLockWaitCheck,     &kIdleInTransactionCheck, &kPreparedCheck,
    &kReplicationLagCheck, &kReplayPausedCheck, &kWalReceiverCheck,       &kVacuumCheck,
    &kSequenceCheck,       &kInvalidIndexCheck, &kPermissionsCheck};

}  // namespace vitalsd::postgres
