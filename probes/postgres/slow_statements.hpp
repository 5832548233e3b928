// The statements of the slow lane's collectors. Each statement returns a limited number of rows. If
// it leaves rows out, a column of each row has their number or sum.
#pragma once

#include <string_view>

namespace vitalsd::postgres {

/// {extension} is the name of an extension.
inline constexpr std::string_view kExtensionSql = R"sql(
SELECT quote_ident(n.nspname) FROM pg_extension e JOIN pg_namespace n ON n.oid = e.extnamespace
WHERE e.extname = '{extension}'
)sql";

/// Reads the sizes from the catalog, because pg_table_size() waits for locks.
inline constexpr std::string_view kTablesSql = R"sql(
WITH settings AS (
  SELECT current_setting('autovacuum_vacuum_threshold')::float8 AS threshold,
         current_setting('autovacuum_vacuum_scale_factor')::float8 AS scale_factor,
         nullif(current_setting('autovacuum_vacuum_max_threshold', true)::float8, -1) AS most
), tables AS (
  SELECT c.oid, n.nspname, c.relname, c.relpages, o.enabled,
         pg_stat_get_dead_tuples(c.oid) AS dead, pg_stat_get_live_tuples(c.oid) AS live,
         least(coalesce(o.threshold, s.threshold) + coalesce(o.scale_factor, s.scale_factor)
                 * greatest(c.reltuples, pg_stat_get_live_tuples(c.oid)),
               CASE WHEN o.most = -1 THEN NULL ELSE coalesce(o.most, s.most) END) AS limit_of_dead
  FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace CROSS JOIN settings s
       LEFT JOIN LATERAL (
         SELECT max(option_value) FILTER (WHERE option_name = 'autovacuum_enabled') AS enabled,
                max(option_value) FILTER
                  (WHERE option_name = 'autovacuum_vacuum_threshold')::float8 AS threshold,
                max(option_value) FILTER
                  (WHERE option_name = 'autovacuum_vacuum_scale_factor')::float8 AS scale_factor,
                max(option_value) FILTER
                  (WHERE option_name = 'autovacuum_vacuum_max_threshold')::float8 AS most
         FROM pg_options_to_table(c.reloptions)) o ON c.reloptions IS NOT NULL
  WHERE c.relkind IN ('r', 'm') AND c.relpersistence <> 't'
        AND n.nspname <> 'information_schema' AND n.nspname !~ '^pg_'
), judged AS (
  SELECT *, CASE WHEN dead >= 10000 AND coalesce(enabled, '') NOT IN ('false', 'off', 'no', '0')
                 THEN dead / greatest(limit_of_dead, 1) ELSE 0 END AS overdue FROM tables
), ranked AS (
  SELECT *, count(*) OVER () AS tables, sum(dead) OVER () AS all_dead, sum(live) OVER () AS all_live,
         max(overdue) OVER () AS most_overdue,
         first_value(nspname || '.' || relname) OVER (ORDER BY overdue DESC, oid)
           AS most_overdue_table
  FROM judged ORDER BY relpages DESC, oid LIMIT 50
)
SELECT current_database() AS datname, nspname AS schemaname, relname, tables, all_dead, all_live,
       most_overdue, CASE WHEN most_overdue > 0 THEN most_overdue_table END AS most_overdue_table,
       live AS n_live_tup, dead AS n_dead_tup,
       relpages * current_setting('block_size')::bigint AS estimated_size,
       pg_stat_get_numscans(oid) AS seq_scan, pg_stat_get_tuples_returned(oid) AS seq_tup_read,
       pg_stat_get_tuples_inserted(oid) AS n_tup_ins, pg_stat_get_tuples_updated(oid) AS n_tup_upd,
       pg_stat_get_tuples_deleted(oid) AS n_tup_del,
       pg_stat_get_tuples_hot_updated(oid) AS n_tup_hot_upd,
       pg_stat_get_mod_since_analyze(oid) AS n_mod_since_analyze,
       extract(epoch FROM pg_stat_get_last_vacuum_time(oid)) AS last_vacuum,
       extract(epoch FROM pg_stat_get_last_autovacuum_time(oid)) AS last_autovacuum,
       extract(epoch FROM pg_stat_get_last_analyze_time(oid)) AS last_analyze,
       extract(epoch FROM pg_stat_get_last_autoanalyze_time(oid)) AS last_autoanalyze
FROM ranked ORDER BY relpages DESC, oid
)sql";

/// A column of type integer may have a sequence of bigint: its own (serial, identity), or one that
/// its default names alone. A domain has the length and the category of its type. On a standby the
/// query returns nothing, because its sequences are those of the primary. If there are too many
/// sequences, those with the most values are left out, because they end last.
inline constexpr std::string_view kSequencesSql = R"sql(
WITH columns AS (
  SELECT s.seqrelid, d.refobjid AS relation, d.refobjsubid AS number
  FROM pg_sequence s JOIN pg_depend d ON d.classid = 'pg_class'::regclass AND d.objid = s.seqrelid
       AND d.refclassid = 'pg_class'::regclass AND d.deptype IN ('a', 'i') AND d.refobjsubid > 0
  UNION
  SELECT seqrelid, adrelid, adnum
  FROM (SELECT s.seqrelid, f.adrelid, f.adnum, f.adbin
        FROM pg_sequence s JOIN pg_depend d ON d.refclassid = 'pg_class'::regclass
                  AND d.refobjid = s.seqrelid AND d.classid = 'pg_attrdef'::regclass
             JOIN pg_attrdef f ON f.oid = d.objid
        OFFSET 0) f -- so that other defaults are not deparsed
  -- With the relation, pg_get_expr would wait for its lock. Without, it fails if there are variables.
  WHERE CASE WHEN adbin::text NOT LIKE '%{VAR %' THEN pg_get_expr(adbin, 0) END
        ~ '^\(?nextval\(''[^()]*''::regclass\)\)?(::[a-z]+)?$'
), narrowest AS (
  SELECT c.seqrelid, min(t.typlen) AS bytes
  FROM columns c JOIN pg_attribute a ON a.attrelid = c.relation AND a.attnum = c.number
       JOIN pg_type t ON t.oid = a.atttypid
  WHERE t.typcategory = 'N' AND t.typlen > 0 AND t.typname NOT IN ('float4', 'oid')
  GROUP BY c.seqrelid
), sequences AS (
  SELECT n.nspname, c.relname, c.oid,
         has_sequence_privilege(c.oid, 'SELECT') OR has_sequence_privilege(c.oid, 'USAGE')
           AS readable, abs(s.seqincrement::float8) AS step,
         CASE WHEN s.seqincrement > 0
              THEN least(s.seqmax, CASE b.bytes WHEN 2 THEN 32767 WHEN 4 THEN 2147483647 END)
              ELSE greatest(s.seqmin, CASE b.bytes WHEN 2 THEN -32768 WHEN 4 THEN -2147483648 END)
           END AS last_possible
  FROM pg_sequence s JOIN pg_class c ON c.oid = s.seqrelid
       JOIN pg_namespace n ON n.oid = c.relnamespace
       LEFT JOIN narrowest b ON b.seqrelid = s.seqrelid
  WHERE NOT s.seqcycle AND c.relpersistence = 'p'
)
SELECT current_database() AS datname, NULL AS schemaname, NULL AS relname, NULL AS oid,
       NULL AS last_possible, count(*) FILTER (WHERE readable) AS readable,
       count(*) FILTER (WHERE NOT readable) AS unreadable,
       (SELECT string_agg(schema, ', ')
        FROM (SELECT DISTINCT quote_ident(nspname) AS schema FROM sequences WHERE NOT readable
              ORDER BY schema LIMIT 20) s) AS unreadable_schemas
FROM sequences HAVING NOT pg_is_in_recovery()
UNION ALL
(SELECT current_database(), nspname, relname, oid, last_possible, NULL, NULL, NULL
 FROM sequences WHERE readable AND NOT pg_is_in_recovery()
 ORDER BY abs(last_possible::float8) / step, oid LIMIT 5000)
)sql";

/// pg_sequence_last_value() locks the sequence until the end of the transaction.
inline constexpr std::string_view kSequenceValuesSql = R"sql(
SELECT oid, pg_sequence_last_value(oid)::float8 AS last_value FROM pg_class WHERE oid IN ({oids})
)sql";

/// CREATE INDEX CONCURRENTLY and REINDEX CONCURRENTLY lock the table until the index is valid.
/// Autovacuum takes the same lock, so its locks are ignored. A standby does not have these locks,
/// so only the primary checks its indexes. An index of a partitioned table (relkind I) is not valid
/// until each partition has one.
inline constexpr std::string_view kIndexesSql = R"sql(
WITH invalid AS (
  SELECT n.nspname AS schemaname, t.relname, i.relname AS indexrelname, i.oid
  FROM pg_index x JOIN pg_class i ON i.oid = x.indexrelid JOIN pg_class t ON t.oid = x.indrelid
       JOIN pg_namespace n ON n.oid = i.relnamespace
  WHERE NOT (x.indisvalid AND x.indisready AND x.indislive) AND i.relkind = 'i'
        AND i.relpersistence <> 't'
        AND NOT EXISTS (SELECT FROM pg_locks l
                        WHERE l.locktype = 'relation' AND l.relation = x.indrelid
                              AND l.mode = 'ShareUpdateExclusiveLock' AND l.granted
                              AND l.pid NOT IN (SELECT pid FROM pg_stat_activity
                                                WHERE backend_type = 'autovacuum worker')
                              AND l.database = (SELECT oid FROM pg_database
                                                WHERE datname = current_database()))
)
SELECT current_database() AS datname, NULL AS schemaname, NULL AS relname, NULL AS indexrelname,
       NULL AS size,
       (SELECT CASE WHEN NOT pg_is_in_recovery() THEN count(*) END FROM invalid) AS invalid
UNION ALL
(SELECT current_database(), schemaname, relname, indexrelname, pg_relation_size(oid), NULL
 FROM invalid WHERE NOT pg_is_in_recovery() ORDER BY schemaname, indexrelname LIMIT 20)
)sql";

/// Reads the values that a new session of the role has: in this session, vitalsd has set limits.
inline constexpr std::string_view kSettingsSql = R"sql(
SELECT name, pending_restart,
       CASE WHEN vartype = 'bool' THEN (reset_val = 'on')::int::float8
            WHEN reset_val = '-1' THEN -1
            WHEN vartype IN ('integer', 'real')
            THEN reset_val::float8 * CASE unit WHEN 'kB' THEN 1024 WHEN '8kB' THEN 8192
                 WHEN 'MB' THEN 1048576 WHEN 'ms' THEN 0.001 WHEN 'min' THEN 60 ELSE 1 END
         END AS value
FROM pg_settings
)sql";

inline constexpr std::string_view kWalSql = R"sql(
SELECT count(*) AS segments, coalesce(sum(size), 0) AS size
FROM pg_ls_waldir() WHERE name ~ '^[0-9A-F]{24}$'
)sql";

inline constexpr std::string_view kArchiveStatusSql = R"sql(
SELECT count(*) AS ready FROM pg_ls_archive_statusdir() WHERE name ~ '\.ready$'
)sql";

/// Does not read the texts of statements, because the server reads them from a file. An ID occurs
/// twice if the statement was executed both directly and in a function.
inline constexpr std::string_view kStatementsSql = R"sql(
SELECT pg_get_userbyid(s.userid) AS role, d.datname, s.queryid, sum(s.calls) AS calls,
       sum(s.time) / 1000 AS seconds, sum(s.rows) AS rows, sum(s.read_time) / 1000 AS read_seconds,
       sum(s.write_time) / 1000 AS write_seconds, count(*) OVER () AS statements,
       sum(sum(s.calls)) OVER () AS all_calls, sum(sum(s.time)) OVER () / 1000 AS all_seconds
FROM (SELECT userid, dbid, queryid, calls, rows, {columns}
      FROM {schema}.pg_stat_statements(false)) s JOIN pg_database d ON d.oid = s.dbid
WHERE s.queryid IS NOT NULL
GROUP BY s.userid, d.datname, s.queryid ORDER BY seconds DESC, s.queryid LIMIT 20
)sql";

}  // namespace vitalsd::postgres
