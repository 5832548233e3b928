// The statements of kind `postgres`. The names of their columns are those in metrics.hpp.
#pragma once

#include <cstddef>
#include <string_view>

namespace vitalsd::postgres {

/// One result for each member of Statistics, in the same order. Databases that accept no
/// connections and template databases are left out. A WAL receiver whose connection drops packets
/// is "streaming" until wal_receiver_timeout, but it asks its primary for a message when half of
/// that time has passed without one. The time of the last message is null without permission.
inline constexpr std::string_view kStatements = R"sql(
SELECT current_setting('max_connections') AS max_connections,
       current_setting('superuser_reserved_connections') AS superuser_reserved_connections,
       current_setting('reserved_connections', true) AS reserved_connections,
       pg_has_role('pg_read_all_stats', 'USAGE') AS reads_all_stats,
       pg_is_in_recovery() AS in_recovery,
       extract(epoch FROM pg_postmaster_start_time()) AS start_time,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND r.streaming > 0 THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END AS replay_lag,
       current_setting('server_version') AS short_version, version() AS version,
       r.last_message_time,
       CASE WHEN pg_is_in_recovery() THEN r.streaming END AS streaming_receivers
FROM (SELECT extract(epoch FROM max(last_msg_receipt_time)) AS last_message_time,
             count(*) FILTER (WHERE coalesce(status, 'streaming') = 'streaming' AND
               coalesce(clock_timestamp() - last_msg_receipt_time < 0.75 *
                 nullif(current_setting('wal_receiver_timeout')::interval, '0'), true)) AS streaming
      FROM pg_stat_wal_receiver) r;
SELECT d.datname, s.numbackends, s.xact_commit, s.xact_rollback, s.blks_read, s.blks_hit,
       s.deadlocks, s.conflicts, s.temp_bytes, s.temp_files,
       d.datname = current_database() AS is_current
FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid
WHERE d.datallowconn AND NOT d.datistemplate;
SELECT datname, coalesce(state, 'unknown') AS state, count(*) AS connections,
       max(extract(epoch FROM clock_timestamp() - xact_start)) AS longest_transaction
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname IS NOT NULL
GROUP BY datname, coalesce(state, 'unknown');
SELECT d.datname, l.mode, count(*) AS locks, count(*) FILTER (WHERE NOT l.granted) AS waiting
FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.pid <> pg_backend_pid() GROUP BY d.datname, l.mode;
SELECT application_name, coalesce(host(client_addr), 'local') AS client_address,
       max(CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_receive_lsn(), replay_lsn)
                ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) END) AS lag_bytes,
       max(extract(epoch FROM flush_lag)) AS flush_lag,
       max(extract(epoch FROM replay_lag)) AS replay_lag, count(*) AS standbys
FROM pg_stat_replication GROUP BY application_name, coalesce(host(client_addr), 'local');
SELECT a.archived_count, a.failed_count, m.archives,
       extract(epoch FROM a.last_archived_time) AS last_archived_time,
       extract(epoch FROM a.last_failed_time) AS last_failed_time,
       extract(epoch FROM clock_timestamp()
               - coalesce(a.last_archived_time, a.stats_reset, pg_postmaster_start_time()))
         AS archived_age,
       coalesce(a.last_failed_time > coalesce(a.last_archived_time, '-infinity'), false) AS failing,
       CASE WHEN m.archives AND a.last_archived_wal ~ '^[0-9A-F]{24}' THEN
         floor(pg_wal_lsn_diff(CASE WHEN pg_is_in_recovery() THEN pg_last_wal_receive_lsn()
                                    ELSE pg_current_wal_lsn() END, '0/0') / m.segment_size) - 1
         > ('x' || substr(a.last_archived_wal, 9, 8))::bit(32)::bigint
             * (4294967296 / m.segment_size)
           + ('x' || substr(a.last_archived_wal, 17, 8))::bit(32)::bigint END AS waiting
FROM pg_stat_archiver a,
     (SELECT current_setting('archive_mode') = 'always'
               OR current_setting('archive_mode') = 'on' AND NOT pg_is_in_recovery() AS archives,
             pg_size_bytes(current_setting('wal_segment_size')) AS segment_size) m
)sql";
inline constexpr std::size_t kStatementCount = 6;

inline constexpr std::string_view kSizeStatement = R"sql(
SELECT datname, pg_database_size(oid) AS size FROM pg_database
WHERE datallowconn AND NOT datistemplate
  AND (has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))
)sql";

}  // namespace vitalsd::postgres
