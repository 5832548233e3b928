// The settings that rules and dashboards read, in base units. -1 means no limit, as in the server.
#pragma once

#include "exporter/model/metric.hpp"

#include <array>
#include <cstddef>
#include <string_view>

namespace vitalsd::postgres {

struct Setting {
  std::string_view name;
  Metric<0> metric;
};

template <std::size_t N>
struct SettingTable {
  static constexpr std::size_t kSize = N;
  std::array<Setting, N> settings;

  [[nodiscard]] constexpr std::array<const MetricInfo*, N> metrics() const {
    std::array<const MetricInfo*, N> list{};
    for (std::size_t i = 0; i < N; ++i) list[i] = &settings[i].metric;
    return list;
  }
};

inline constexpr SettingTable kSettings{std::array{
    Setting{"autovacuum",
            Metric({.name = "pg_settings_autovacuum", .help = "The setting autovacuum."})},
    Setting{"autovacuum_vacuum_threshold",
            Metric({.name = "pg_settings_autovacuum_vacuum_threshold",
                    .help = "The setting autovacuum_vacuum_threshold."})},
    Setting{"autovacuum_analyze_threshold",
            Metric({.name = "pg_settings_autovacuum_analyze_threshold",
                    .help = "The setting autovacuum_analyze_threshold."})},
    Setting{"autovacuum_vacuum_scale_factor",
            Metric({.name = "pg_settings_autovacuum_vacuum_scale_factor",
                    .help = "The setting autovacuum_vacuum_scale_factor."})},
    Setting{"autovacuum_max_workers", Metric({.name = "pg_settings_autovacuum_max_workers",
                                              .help = "The setting autovacuum_max_workers."})},
    Setting{"autovacuum_freeze_max_age",
            Metric({.name = "pg_settings_autovacuum_freeze_max_age",
                    .help = "The setting autovacuum_freeze_max_age."})},
    Setting{"max_locks_per_transaction",
            Metric({.name = "pg_settings_max_locks_per_transaction",
                    .help = "The setting max_locks_per_transaction."})},
    Setting{"max_prepared_transactions",
            Metric({.name = "pg_settings_max_prepared_transactions",
                    .help = "The setting max_prepared_transactions."})},
    Setting{"max_worker_processes", Metric({.name = "pg_settings_max_worker_processes",
                                            .help = "The setting max_worker_processes."})},
    Setting{"max_parallel_workers", Metric({.name = "pg_settings_max_parallel_workers",
                                            .help = "The setting max_parallel_workers."})},
    Setting{"max_wal_senders", Metric({.name = "pg_settings_max_wal_senders",
                                       .help = "The setting max_wal_senders."})},
    Setting{"max_replication_slots", Metric({.name = "pg_settings_max_replication_slots",
                                             .help = "The setting max_replication_slots."})},
    Setting{"shared_buffers", Metric({.name = "pg_settings_shared_buffers_bytes",
                                      .unit = Unit::bytes,
                                      .help = "The setting shared_buffers."})},
    Setting{"effective_cache_size", Metric({.name = "pg_settings_effective_cache_size_bytes",
                                            .unit = Unit::bytes,
                                            .help = "The setting effective_cache_size."})},
    Setting{"work_mem", Metric({.name = "pg_settings_work_mem_bytes",
                                .unit = Unit::bytes,
                                .help = "The setting work_mem."})},
    Setting{"maintenance_work_mem", Metric({.name = "pg_settings_maintenance_work_mem_bytes",
                                            .unit = Unit::bytes,
                                            .help = "The setting maintenance_work_mem."})},
    Setting{"max_wal_size", Metric({.name = "pg_settings_max_wal_size_bytes",
                                    .unit = Unit::bytes,
                                    .help = "The setting max_wal_size."})},
    Setting{"max_slot_wal_keep_size",
            Metric({.name = "pg_settings_max_slot_wal_keep_size_bytes",
                    .unit = Unit::bytes,
                    .help = "The setting max_slot_wal_keep_size; -1: none."})},
    Setting{"checkpoint_timeout", Metric({.name = "pg_settings_checkpoint_timeout_seconds",
                                          .unit = Unit::seconds,
                                          .help = "The setting checkpoint_timeout."})},
    Setting{"statement_timeout", Metric({.name = "pg_settings_statement_timeout_seconds",
                                         .unit = Unit::seconds,
                                         .help = "The setting statement_timeout."})},
    Setting{"idle_in_transaction_session_timeout",
            Metric({.name = "pg_settings_idle_in_transaction_session_timeout_seconds",
                    .unit = Unit::seconds,
                    .help = "The setting idle_in_transaction_session_timeout."})},
    Setting{"random_page_cost", Metric({.name = "pg_settings_random_page_cost",
                                        .help = "The setting random_page_cost."})},
    Setting{"fsync", Metric({.name = "pg_settings_fsync", .help = "The setting fsync."})},
    Setting{"full_page_writes", Metric({.name = "pg_settings_full_page_writes",
                                        .help = "The setting full_page_writes."})},
    Setting{"track_io_timing", Metric({.name = "pg_settings_track_io_timing",
                                       .help = "The setting track_io_timing."})},
    Setting{"data_checksums",
            Metric({.name = "pg_settings_data_checksums", .help = "The setting data_checksums."})},
}};

}  // namespace vitalsd::postgres
