// The metrics of the slow lane's collectors, each with the column that it is read from. Names are
// those of postgres_exporter where it has the metric.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "probes/postgres/fast_metrics.hpp"
#include "probes/postgres/settings.hpp"

#include <string_view>

namespace vitalsd::postgres {

inline constexpr Metric kCollectorDuration(
    {.name = "pg_scrape_collector_duration_seconds",
     .unit = Unit::seconds,
     .help = "Time that the last execution of a collector of the slow lane took, with its "
             "response."},
    "collector");
inline constexpr Metric kCollectorSuccess(
    {.name = "pg_scrape_collector_success",
     .help = "Whether the last execution of a collector of the slow lane succeeded (1) or failed "
             "(0)."},
    "collector");
inline constexpr Metric kScrapeError(
    {.name = "pg_exporter_last_scrape_error",
     .help = "Whether the last execution of a collector of the slow lane, or of a custom query, "
             "failed (1) or none did (0)."});

/// Labels: datname, schemaname, relname.
inline constexpr MetricTable kUserTables(
    MetricRow{Metric({.name = "pg_stat_user_tables_n_live_tup",
                      .help = "Estimated rows of one of the largest tables."},
                     "datname", "schemaname", "relname"),
              Column("n_live_tup")},
    MetricRow{Metric({.name = "pg_stat_user_tables_n_dead_tup",
                      .help = "Estimated dead rows of one of the largest tables, which VACUUM can "
                              "remove."},
                     "datname", "schemaname", "relname"),
              Column("n_dead_tup")},
    MetricRow{Metric({.name = "pg_stat_user_tables_n_mod_since_analyze",
                      .help = "Rows of one of the largest tables that were changed since its last "
                              "ANALYZE."},
                     "datname", "schemaname", "relname"),
              Column("n_mod_since_analyze")},
    MetricRow{Metric({.name = "pg_stat_user_tables_seq_scan",
                      .type = Type::counter,
                      .help = "Sequential scans of one of the largest tables.",
                      .waiver = kExporter},
                     "datname", "schemaname", "relname"),
              Column("seq_scan")},
    MetricRow{Metric({.name = "pg_stat_user_tables_seq_tup_read",
                      .type = Type::counter,
                      .help = "Rows that sequential scans of one of the largest tables read.",
                      .waiver = kExporter},
                     "datname", "schemaname", "relname"),
              Column("seq_tup_read")},
    MetricRow{Metric({.name = "pg_stat_user_tables_n_tup_ins",
                      .type = Type::counter,
                      .help = "Rows that were inserted into one of the largest tables.",
                      .waiver = kExporter},
                     "datname", "schemaname", "relname"),
              Column("n_tup_ins")},
    MetricRow{Metric({.name = "pg_stat_user_tables_n_tup_upd",
                      .type = Type::counter,
                      .help = "Rows of one of the largest tables that were updated.",
                      .waiver = kExporter},
                     "datname", "schemaname", "relname"),
              Column("n_tup_upd")},
    MetricRow{Metric({.name = "pg_stat_user_tables_n_tup_del",
                      .type = Type::counter,
                      .help = "Rows that were deleted from one of the largest tables.",
                      .waiver = kExporter},
                     "datname", "schemaname", "relname"),
              Column("n_tup_del")},
    MetricRow{Metric({.name = "pg_stat_user_tables_n_tup_hot_upd",
                      .type = Type::counter,
                      .help = "Rows of one of the largest tables that were updated without changes "
                              "of its indexes.",
                      .waiver = kExporter},
                     "datname", "schemaname", "relname"),
              Column("n_tup_hot_upd")},
    MetricRow{
        Metric({.name = "pg_stat_user_tables_last_vacuum",
                .help = "When VACUUM last processed one of the largest tables, in Unix time."},
               "datname", "schemaname", "relname"),
        Column("last_vacuum")},
    MetricRow{Metric({.name = "pg_stat_user_tables_last_autovacuum",
                      .help = "When autovacuum last vacuumed one of the largest tables, in Unix "
                              "time."},
                     "datname", "schemaname", "relname"),
              Column("last_autovacuum")},
    MetricRow{Metric({.name = "pg_stat_user_tables_last_analyze",
                      .help = "When ANALYZE last processed one of the largest tables, in Unix "
                              "time."},
                     "datname", "schemaname", "relname"),
              Column("last_analyze")},
    MetricRow{Metric({.name = "pg_stat_user_tables_last_autoanalyze",
                      .help = "When autovacuum last analyzed one of the largest tables, in Unix "
                              "time."},
                     "datname", "schemaname", "relname"),
              Column("last_autoanalyze")},
    MetricRow{Metric({.name = "pg_table_estimated_size_bytes",
                      .unit = Unit::bytes,
                      .help = "Size of one of the largest tables without its indexes, when it was "
                              "last vacuumed or analyzed."},
                     "datname", "schemaname", "relname"),
              Column("estimated_size")});

/// Label: datname.
inline constexpr MetricTable kOtherTables(
    MetricRow{Metric({.name = "pg_stat_user_tables_rest_tables",
                      .help = "Tables that have no series of their own, because they are not among "
                              "the largest."},
                     "datname"),
              [](const auto& rest) { return rest.tables; }},
    MetricRow{Metric({.name = "pg_stat_user_tables_rest_n_live_tup",
                      .help = "Estimated rows of all tables that have no series of their own."},
                     "datname"),
              [](const auto& rest) { return rest.live; }},
    MetricRow{
        Metric({.name = "pg_stat_user_tables_rest_n_dead_tup",
                .help = "Estimated dead rows of all tables that have no series of their own."},
               "datname"),
        [](const auto& rest) { return rest.dead; }});

/// Labels: datname, schemaname, sequencename.
inline constexpr Metric kSequenceUsed(
    {.name = "pg_sequence_used_ratio",
     .unit = Unit::ratio,
     .help = "Share of the values that one of the most used sequences has used; the type of its "
             "column also limits them."},
    "datname", "schemaname", "sequencename");
inline constexpr Metric kUnreadableSequences(
    {.name = "pg_sequences_unreadable",
     .help = "Sequences whose last value the role of the probe may not read."},
    "datname");
inline constexpr Metric kUnjudgedSequences(
    {.name = "pg_sequences_unjudged",
     .help = "Sequences that are not read, because others have fewer values and the number or the "
             "time is limited."},
    "datname");

inline constexpr Metric kInvalidIndexSize(
    {.name = "pg_general_index_info_pg_relation_size",
     .help = "Bytes of an index that is not valid; no series for valid ones."},
    "datname", "schemaname", "relname", "indexrelname");
inline constexpr Metric kInvalidIndexes(
    {.name = "pg_invalid_indexes",
     .help = "Indexes that are not valid, except those that are being created."},
    "datname");

inline constexpr Metric kPendingRestart(
    {.name = "pg_settings_pending_restart",
     .help = "Settings that were changed in the configuration and need a restart."});

/// No labels.
inline constexpr MetricTable kWalTable(MetricRow{Metric({.name = "pg_wal_segments",
                                                         .help = "WAL files of the server."}),
                                                 Column("segments")},
                                       MetricRow{Metric({.name = "pg_wal_size_bytes",
                                                         .unit = Unit::bytes,
                                                         .help = "Disk space that WAL files use."}),
                                                 Column("size")});

inline constexpr Metric kArchiveReady(
    {.name = "pg_stat_archiver_ready_files",
     .help = "WAL files that wait to be archived; from PostgreSQL 12."});

/// Labels: user, datname, queryid.
inline constexpr MetricTable kStatementTable(
    MetricRow{Metric({.name = "pg_stat_statements_calls_total",
                      .type = Type::counter,
                      .help = "Executions of one of the statements that took the most time."},
                     "user", "datname", "queryid"),
              Column("calls")},
    MetricRow{Metric({.name = "pg_stat_statements_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "Execution time of one of the statements that took the most time."},
                     "user", "datname", "queryid"),
              Column("seconds")},
    MetricRow{Metric({.name = "pg_stat_statements_rows_total",
                      .type = Type::counter,
                      .help = "Rows of one of the statements that took the most time."},
                     "user", "datname", "queryid"),
              Column("rows")},
    MetricRow{Metric({.name = "pg_stat_statements_block_read_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "Time in which one of the statements that took the most time read "
                              "blocks; 0 without track_io_timing."},
                     "user", "datname", "queryid"),
              Column("read_seconds")},
    MetricRow{Metric({.name = "pg_stat_statements_block_write_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "Time in which one of the statements that took the most time wrote "
                              "blocks; 0 without track_io_timing."},
                     "user", "datname", "queryid"),
              Column("write_seconds")});
/// These are gauges, because the server evicts statements, which decreases the sums.
inline constexpr Metric kAllStatementCalls(
    {.name = "pg_stat_statements_all_calls",
     .help = "Executions of all statements that the server has recorded; decreases when it evicts "
             "statements (pg_stat_statements.max)."});
inline constexpr Metric kAllStatementSeconds(
    {.name = "pg_stat_statements_all_seconds",
     .unit = Unit::seconds,
     .help = "Execution time of all statements that the server has recorded; decreases when it "
             "evicts statements (pg_stat_statements.max)."});
inline constexpr Metric kOtherStatements(
    {.name = "pg_stat_statements_rest_statements",
     .help = "Statements that have no series of their own, because others took more time."});

inline constexpr Check kVacuumCheck{
    .name = "vacuum_overdue",
    .warn = 5,
    .critical = {},
    .help =
        "dead rows of a table of the database over the number at which autovacuum starts; 0 "
        "for tables with fewer than 10,000 dead rows or without autovacuum"};
inline constexpr Check kSequenceCheck{
    .name = "sequence_usage",
    .unit = Unit::ratio,
    .warn = 0.80,
    .critical = 0.95,
    .help =
        "share of the values that a sequence of the database has used, unless the sequence cycles"};
inline constexpr Check kInvalidIndexCheck{
    .name = "invalid_indexes",
    .warn = 0,
    .critical = {},
    .help = "indexes of the database that are not valid, except those that are being created"};

}  // namespace vitalsd::postgres
