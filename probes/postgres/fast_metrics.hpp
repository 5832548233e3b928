// The metrics of the fast lane's collectors, each with the column that it is read from. Names are
// those of postgres_exporter where it has the metric.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "probes/postgres/rows.hpp"

#include <optional>
#include <string_view>

namespace vitalsd::postgres {

/// Reads a metric's value from a column.
struct Column {
  std::string_view name;
  std::optional<double> operator()(const Row& row) const { return row.number(name); }
};

inline constexpr std::string_view kExporter = "postgres_exporter uses this name";

inline constexpr Metric kPermitted(
    {.name = "vitalsd_postgres_reading_permitted",
     .help = "Whether the role may read sessions, standby_settings, database_sizes or all that a "
             "collector of the slow lane reads (1) or not (0); the status page and `vitalsd check` "
             "show the GRANT."},
    "reading");

/// Label: datname.
inline constexpr MetricTable kWraparoundTable(
    MetricRow{Metric({.name = "pg_database_wraparound_age_datfrozenxid_seconds",
                      .help = "Transactions, not seconds, since the oldest transaction id of a "
                              "database that is not frozen.",
                      .waiver = kExporter},
                     "datname"),
              Column("xid_age")},
    MetricRow{Metric({.name = "pg_database_wraparound_age_datminmxid_seconds",
                      .help = "Multixacts, not seconds, since the oldest multixact id of a "
                              "database.",
                      .waiver = kExporter},
                     "datname"),
              Column("mxid_age")});

/// Labels: slot_name, database.
inline constexpr MetricTable kSlotTable(
    MetricRow{Metric({.name = "pg_replication_slots_active",
                      .help = "Whether a replication slot is in use."},
                     "slot_name", "database"),
              [](const Row& slot) { return slot.is_true("active"); }},
    MetricRow{Metric({.name = "pg_replication_slots_pg_wal_lsn_diff",
                      .help = "Bytes of WAL since the position from which a replication slot needs "
                              "it."},
                     "slot_name", "database"),
              Column("retained")});

/// Labels: slot_name, slot_type.
inline constexpr MetricTable kSlotStateTable(
    MetricRow{Metric({.name = "pg_replication_slots_safe_wal_size_bytes",
                      .unit = Unit::bytes,
                      .help = "Bytes that can be written to WAL before a replication slot may lose "
                              "files that it needs; absent without max_slot_wal_keep_size, and "
                              "before PostgreSQL 13."},
                     "slot_name", "slot_type"),
              Column("safe_wal_size")},
    MetricRow{Metric({.name = "pg_replication_slots_inactive_since_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When a replication slot that is not in use became inactive, in Unix "
                              "time; from PostgreSQL 17."},
                     "slot_name", "slot_type"),
              Column("inactive_since")},
    MetricRow{Metric({.name = "pg_replication_slots_wal_status",
                      .help = "Always 1; the label shows whether the WAL that a replication slot "
                              "needs is still there. From PostgreSQL 13."},
                     "slot_name", "slot_type", "wal_status"),
              [](const Row& slot, const auto& put) {
                const std::string_view status = slot.text("wal_status");
                if (!status.empty()) put(1, status);
              }});

/// No labels.
inline constexpr MetricTable kBlockedTable(
    MetricRow{Metric({.name = "pg_blocked_sessions",
                      .help = "Sessions that wait for a lock, without advisory locks and without "
                              "waits for the end of older transactions."}),
              Column("blocked")},
    MetricRow{Metric({.name = "pg_blocking_sessions",
                      .help = "Sessions that block others and do not wait for a lock themselves."}),
              Column("blocking")},
    MetricRow{Metric({.name = "pg_blocked_sessions_longest_wait_seconds",
                      .unit = Unit::seconds,
                      .help = "Longest time for which a blocked session has been waiting; from "
                              "PostgreSQL 14."}),
              Column("longest")});

/// No labels.
inline constexpr MetricTable kTransactionTable(
    MetricRow{Metric({.name = "pg_txid_current",
                      .type = Type::counter,
                      .help = "Next transaction id of the server.",
                      .waiver = "community rules use the rate of a series of this name"}),
              Column("txid")},
    MetricRow{Metric({.name = "pg_wal_lsn_location_bytes",
                      .unit = Unit::bytes,
                      .help = "Position in the WAL; on a standby, the position of the replay."}),
              Column("wal_position")},
    MetricRow{Metric({.name = "pg_prepared_transactions",
                      .help = "Transactions that are prepared for a two-phase commit."}),
              Column("prepared")},
    MetricRow{Metric({.name = "pg_prepared_transactions_oldest_age_seconds",
                      .unit = Unit::seconds,
                      .help = "Time since the oldest prepared transaction was prepared; 0 without "
                              "one."}),
              Column("oldest_prepared")},
    MetricRow{
        Metric({.name = "pg_xmin_horizon_age",
                .help = "Age, in transactions, of the oldest transaction whose deleted rows VACUUM "
                        "must keep, by what requires this: session, standby, prepared or slot."},
               "holder"),
        [](const Row& row, const auto& put) {
          put(row.number("session_xmin_age"), "session");
          put(row.number("standby_xmin_age"), "standby");
          put(row.number("prepared_xmin_age"), "prepared");
          put(row.number("slot_xmin_age"), "slot");
        }});

/// No labels.
inline constexpr MetricTable kRecoveryTable(MetricRow{
    Metric({.name = "pg_replication_replay_paused",
            .help = "On a standby: whether the replay of WAL is paused."}),
    [](const Row& row) {
      return row.text("replay_paused").empty() ? std::nullopt
                                               : std::optional(row.is_true("replay_paused"));
    }});

/// No labels.
inline constexpr MetricTable kBackgroundWriterTable(
    MetricRow{Metric({.name = "pg_stat_bgwriter_buffers_clean_total",
                      .type = Type::counter,
                      .help = "Buffers that the background writer wrote."}),
              Column("buffers_clean")},
    MetricRow{Metric({.name = "pg_stat_bgwriter_maxwritten_clean_total",
                      .type = Type::counter,
                      .help = "Scans that the background writer stopped because it had written too "
                              "many buffers."}),
              Column("maxwritten_clean")},
    MetricRow{Metric({.name = "pg_stat_bgwriter_buffers_alloc_total",
                      .type = Type::counter,
                      .help = "Buffers that were allocated."}),
              Column("buffers_alloc")});

/// No labels. Until PostgreSQL 16.
inline constexpr MetricTable kOldCheckpointTable(
    MetricRow{Metric({.name = "pg_stat_bgwriter_checkpoints_timed_total",
                      .type = Type::counter,
                      .help = "Scheduled checkpoints; until PostgreSQL 16."}),
              Column("checkpoints_timed")},
    MetricRow{
        Metric({.name = "pg_stat_bgwriter_checkpoints_req_total",
                .type = Type::counter,
                .help = "Requested checkpoints, for example because max_wal_size was reached; "
                        "until PostgreSQL 16."}),
        Column("checkpoints_req")},
    MetricRow{
        Metric({.name = "pg_stat_bgwriter_checkpoint_write_time_total",
                .type = Type::counter,
                .help = "Milliseconds in which checkpoints wrote files; until PostgreSQL 16."}),
        Column("checkpoint_write_time")},
    MetricRow{Metric({.name = "pg_stat_bgwriter_checkpoint_sync_time_total",
                      .type = Type::counter,
                      .help = "Milliseconds in which checkpoints synchronized files; until "
                              "PostgreSQL 16."}),
              Column("checkpoint_sync_time")},
    MetricRow{Metric({.name = "pg_stat_bgwriter_buffers_checkpoint_total",
                      .type = Type::counter,
                      .help = "Buffers that checkpoints wrote; until PostgreSQL 16."}),
              Column("buffers_checkpoint")},
    MetricRow{Metric({.name = "pg_stat_bgwriter_buffers_backend_total",
                      .type = Type::counter,
                      .help = "Buffers that sessions wrote themselves; until PostgreSQL 16."}),
              Column("buffers_backend")},
    MetricRow{Metric({.name = "pg_stat_bgwriter_buffers_backend_fsync_total",
                      .type = Type::counter,
                      .help = "Calls of fsync that sessions had to execute themselves; until "
                              "PostgreSQL 16."}),
              Column("buffers_backend_fsync")});

/// No labels. From PostgreSQL 17.
inline constexpr MetricTable kCheckpointerTable(
    MetricRow{Metric({.name = "pg_stat_checkpointer_num_timed_total",
                      .type = Type::counter,
                      .help = "Scheduled checkpoints; from PostgreSQL 17."}),
              Column("num_timed")},
    MetricRow{
        Metric({.name = "pg_stat_checkpointer_num_requested_total",
                .type = Type::counter,
                .help = "Requested checkpoints, for example because max_wal_size was reached; "
                        "from PostgreSQL 17."}),
        Column("num_requested")},
    MetricRow{Metric({.name = "pg_stat_checkpointer_restartpoints_timed_total",
                      .type = Type::counter,
                      .help = "Scheduled restartpoints of a standby; from PostgreSQL 17."}),
              Column("restartpoints_timed")},
    MetricRow{Metric({.name = "pg_stat_checkpointer_restartpoints_req_total",
                      .type = Type::counter,
                      .help = "Requested restartpoints of a standby; from PostgreSQL 17."}),
              Column("restartpoints_req")},
    MetricRow{Metric({.name = "pg_stat_checkpointer_restartpoints_done_total",
                      .type = Type::counter,
                      .help = "Restartpoints that a standby performed; from PostgreSQL 17."}),
              Column("restartpoints_done")},
    MetricRow{
        Metric({.name = "pg_stat_checkpointer_write_time_total",
                .type = Type::counter,
                .help = "Milliseconds in which checkpoints wrote files; from PostgreSQL 17."}),
        Column("write_time")},
    MetricRow{
        Metric({.name = "pg_stat_checkpointer_sync_time_total",
                .type = Type::counter,
                .help = "Milliseconds in which checkpoints synchronized files; from PostgreSQL "
                        "17."}),
        Column("sync_time")},
    MetricRow{Metric({.name = "pg_stat_checkpointer_buffers_written_total",
                      .type = Type::counter,
                      .help = "Buffers that checkpoints wrote; from PostgreSQL 17."}),
              Column("buffers_written")});

/// Label: datname, empty for the tables that all databases share.
inline constexpr MetricTable kChecksumTable(MetricRow{
    Metric({.name = "pg_stat_database_checksum_failures",
            .type = Type::counter,
            .help = "Pages of a database whose checksum was wrong; absent without "
                    "data_checksums, and before PostgreSQL 12.",
            .waiver = "the columns of pg_stat_database have this form in "
                      "postgres_exporter"},
           "datname"),
    Column("checksum_failures")});

inline constexpr Check kWraparoundCheck{
    .name = "wraparound",
    .unit = Unit::ratio,
    .warn = 0.50,
    .critical = 0.75,
    .help =
        "share of the transaction IDs or multixact IDs in use; at 100% the server accepts no more "
        "writes; not on a standby"};
inline constexpr Check kSlotWalCheck{.name = "slot_wal",
                                     .unit = Unit::bytes,
                                     .warn = 10.0 * (1U << 30U),
                                     .critical = 50.0 * (1U << 30U),
                                     .help = "WAL that the server keeps for a replication slot"};
inline constexpr Check kSlotStatusCheck{
    .name = "slot_status",
    .warn = 0,
    .critical = {},
    .help =
        "whether WAL that a replication slot needs is about to be removed (1) or lost (2), else 0; "
        "from PostgreSQL 13"};
inline constexpr Check kLockWaitCheck{
    .name = "lock_wait",
    .unit = Unit::seconds,
    .warn = 5 * 60,
    .critical = 15 * 60,
    .help = "longest wait for a lock, without advisory locks; from PostgreSQL 14"};
inline constexpr Check kIdleInTransactionCheck{
    .name = "idle_in_transaction",
    .unit = Unit::seconds,
    .warn = 30 * 60,
    .critical = {},
    .help = "age of the oldest transaction whose session is idle, except sessions of pg_dump"};
inline constexpr Check kPreparedCheck{.name = "prepared_transaction_age",
                                      .unit = Unit::seconds,
                                      .warn = 60 * 60,
                                      .critical = {},
                                      .help = "age of the oldest prepared transaction"};
inline constexpr Check kReplicationLagCheck{
    .name = "replication_lag",
    .unit = Unit::seconds,
    .warn = 5 * 60,
    .critical = {},
    .help =
        "on a standby with primary_conninfo: pg_replication_lag_seconds without "
        "recovery_min_apply_delay; from PostgreSQL 12"};
inline constexpr Check kPermissionsCheck{
    .name = "permissions",
    .warn = 0,
    .critical = {},
    .help = "groups of readings that are missing because the role lacks pg_monitor"};
inline constexpr Check kReplayPausedCheck{
    .name = "replay_paused",
    .warn = 0,
    .critical = {},
    .help = "whether the replay of WAL is paused on a standby (1) or not (0)"};
inline constexpr Check kWalReceiverCheck{
    .name = "wal_receiver",
    .warn = 0,
    .critical = {},
    .help =
        "whether a standby with primary_conninfo receives WAL (0) or not (1); from PostgreSQL "
        "12"};

}  // namespace vitalsd::postgres
