#include "probes/postgres/fast_lane.hpp"

#include "config/scalar.hpp"
#include "probes/postgres/collector.hpp"
#include "probes/postgres/fast_metrics.hpp"
#include "probes/postgres/statements.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::postgres {
namespace {

// A database that could not be dropped completely (datconnlimit -2) cannot be vacuumed, and the
// server ignores its age.
constexpr std::string_view kWraparoundSql = R"sql(
SELECT datname, age(datfrozenxid) AS xid_age, mxid_age(datminmxid) AS mxid_age,
       pg_is_in_recovery() AS in_recovery
FROM pg_database WHERE datconnlimit <> -2
)sql";

// Columns that older versions lack are read from a row as JSON, in which a missing column is NULL.
constexpr std::string_view kSlotsSql = R"sql(
SELECT slot_name, coalesce(database, '') AS database, slot_type, active,
       pg_wal_lsn_diff(position, restart_lsn) AS retained, facts ->> 'wal_status' AS wal_status,
       facts ->> 'safe_wal_size' AS safe_wal_size,
       extract(epoch FROM (facts ->> 'inactive_since')::timestamptz) AS inactive_since
FROM (SELECT s.*, to_jsonb(s) AS facts,
             CASE WHEN pg_is_in_recovery()
                  THEN greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn())
                  ELSE pg_current_wal_lsn() END AS position
      FROM pg_replication_slots s ORDER BY slot_name LIMIT 100) s
)sql";

// A session that waits for a row waits for the lock of a transaction, which belongs to no database.
// Advisory locks are left out, because applications may wait for them forever by design. CREATE
// INDEX CONCURRENTLY waits for virtual transactions for as long as they last.
constexpr std::string_view kBlockedSql = R"sql(
WITH waiting AS (
  SELECT pid, (to_jsonb(l) ->> 'waitstart')::timestamptz AS since FROM pg_locks l
  WHERE NOT granted AND locktype NOT IN ('advisory', 'virtualxid')
), blockers AS (
  SELECT b.pid, count(DISTINCT w.pid) AS sessions
  FROM (SELECT DISTINCT pid FROM waiting ORDER BY pid LIMIT 100) w,
       unnest(pg_blocking_pids(w.pid)) AS b(pid)
  WHERE b.pid NOT IN (SELECT pid FROM waiting) GROUP BY b.pid
), worst AS (
  SELECT pid, sessions FROM blockers ORDER BY sessions DESC, pid LIMIT 1
)
SELECT (SELECT count(DISTINCT pid) FROM waiting) AS blocked,
       (SELECT count(*) FROM blockers) AS blocking,
       CASE WHEN current_setting('server_version_num')::int >= 140000
            THEN (SELECT coalesce(max(extract(epoch FROM clock_timestamp() - since)), 0)
                  FROM waiting) END AS longest,
       worst.sessions AS blocked_by_worst, worst.pid AS worst_pid, a.usename AS worst_user,
       a.application_name AS worst_application, a.state AS worst_state,
       extract(epoch FROM clock_timestamp() - a.xact_start) AS worst_transaction_age
FROM (SELECT 1) one LEFT JOIN worst ON true LEFT JOIN pg_stat_activity a ON a.pid = worst.pid
)sql";

// txid_current() is not used, because it consumes a transaction ID. A pg_dump with several jobs
// keeps its snapshot in a session that is idle in a transaction until it ends.
constexpr std::string_view kTransactionsSql = R"sql(
SELECT txid_snapshot_xmax(txid_current_snapshot()) AS txid,
       CASE WHEN NOT pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_current_wal_lsn(), '0/0')
            ELSE pg_wal_lsn_diff(pg_last_wal_replay_lsn(), '0/0') END AS wal_position,
       p.prepared, p.oldest_prepared,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN coalesce(a.sessions, 0) END
         AS session_xmin_age,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN coalesce(a.standbys, 0) END
         AS standby_xmin_age,
       coalesce(p.age, 0) AS prepared_xmin_age,
       CASE WHEN pg_has_role('pg_read_all_stats', 'USAGE') THEN coalesce(a.oldest_idle, 0) END
         AS oldest_idle, a.oldest_idle_pid,
       (SELECT coalesce(max(greatest(age(xmin), age(catalog_xmin))), 0)
        FROM pg_replication_slots) AS slot_xmin_age
FROM (SELECT count(*) AS prepared,
             coalesce(max(extract(epoch FROM clock_timestamp() - prepared)), 0) AS oldest_prepared,
             max(age(transaction)) AS age FROM pg_prepared_xacts) p,
     (SELECT max(age(backend_xmin)) FILTER (WHERE backend_type = 'client backend') AS sessions,
             max(age(backend_xmin)) FILTER (WHERE backend_type = 'walsender') AS standbys,
             max(extract(epoch FROM clock_timestamp() - xact_start)) FILTER (WHERE idles)
               AS oldest_idle,
             (array_agg(pid ORDER BY xact_start) FILTER (WHERE idles))[1] AS oldest_idle_pid
      FROM (SELECT *, state LIKE 'idle in transaction%' AND backend_type = 'client backend'
                      AND application_name NOT IN ('pg_dump', 'pg_dumpall') AS idles
            FROM pg_stat_activity WHERE pid <> pg_backend_pid()) s) a
)sql";

// For r, see kStatements. primary_conninfo may contain a password, so the query returns only
// whether it is set. Before version 12 it is in a separate file.
constexpr std::string_view kRecoverySql = R"sql(
SELECT CASE WHEN pg_is_in_recovery() AND pg_has_role('pg_read_all_settings', 'USAGE')
            THEN current_setting('primary_conninfo', true) <> '' END AS follows_primary,
       CASE WHEN pg_is_in_recovery() THEN pg_is_wal_replay_paused() END AS replay_paused,
       CASE WHEN pg_is_in_recovery() THEN r.streaming END AS receivers,
       extract(epoch FROM current_setting('recovery_min_apply_delay', true)::interval)
         AS apply_delay,
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn() AND r.streaming > 0 THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END AS lag
FROM (SELECT count(*) FILTER (WHERE coalesce(status, 'streaming') = 'streaming' AND
               coalesce(clock_timestamp() - last_msg_receipt_time < 0.75 *
                 nullif(current_setting('wal_receiver_timeout')::interval, '0'), true)) AS streaming
      FROM pg_stat_wal_receiver) r
)sql";

constexpr std::string_view kOldBackgroundWriterSql = R"sql(
SELECT checkpoints_timed, checkpoints_req, checkpoint_write_time, checkpoint_sync_time,
       buffers_checkpoint, buffers_clean, maxwritten_clean, buffers_backend,
       buffers_backend_fsync, buffers_alloc
FROM pg_stat_bgwriter
)sql";

constexpr std::string_view kBackgroundWriterSql = R"sql(
SELECT buffers_clean, maxwritten_clean, buffers_alloc, num_timed, num_requested,
       restartpoints_timed, restartpoints_req, restartpoints_done, write_time, sync_time,
       buffers_written
FROM pg_stat_bgwriter, pg_stat_checkpointer
)sql";

constexpr std::string_view kChecksumsSql = R"sql(
SELECT coalesce(datname, '') AS datname, pg_stat_get_db_checksum_failures(id) AS checksum_failures
FROM (SELECT oid AS id, datname FROM pg_database WHERE datallowconn AND NOT datistemplate
      UNION ALL SELECT 0, NULL) d
WHERE pg_stat_get_db_checksum_failures(id) IS NOT NULL
)sql";

// Roles that read the statistics may read the sizes of all databases. On a standby,
// primary_conninfo is a setting; before 12 it is in a file.
constexpr std::string_view kRightsSql = R"sql(
SELECT s.permitted AS sessions,
       CASE WHEN pg_is_in_recovery() AND current_setting('server_version_num')::int >= 120000
            THEN pg_has_role('pg_read_all_settings', 'USAGE') END AS standby_settings,
       s.permitted OR NOT EXISTS (
         SELECT FROM pg_database WHERE datallowconn AND NOT datistemplate
           AND NOT has_database_privilege(oid, 'CONNECT')) AS database_sizes
FROM (SELECT pg_has_role('pg_read_all_stats', 'USAGE') AS permitted) s
)sql";

void read_rights(const Rows& rows, Part& out, std::string& lacks) {
  struct Right {
    std::string_view column;
    std::string_view readings;
  };
  constexpr std::array kRights = {
      Right{"sessions", "sessions and statements of other roles, standbys, the WAL receiver"},
      Right{"standby_settings", "whether the standby follows a primary"},
      Right{"database_sizes", "sizes of databases to which the role may not connect"}};
  for (const Row row : rows.all()) {
    for (const Right& right : kRights) {
      if (row.text(right.column).empty()) continue;
      const bool permitted = row.is_true(right.column);
      out.add(kPermitted, permitted ? 1 : 0, right.column);
      if (permitted) continue;
      lacks += (lacks.empty() ? "not read: " : "\nnot read: ") + std::string(right.readings) +
               ": GRANT pg_monitor TO {role}";
    }
  }
}

void read_wraparound(const Rows& rows, Part& out, std::string& /*lacks*/) {
  constexpr double kIds = 2147483648;  // transactions with a higher distance are in the future
  double worst = -1;
  std::string object;
  bool in_recovery = false;
  for (const Row row : rows.all()) {
    kWraparoundTable.add(out, row, row.text("datname"));
    in_recovery = row.is_true("in_recovery");
    for (const auto& [column, ids] :
         {std::pair("xid_age", "transaction"), std::pair("mxid_age", "multixact")}) {
      const std::optional<double> age = row.number(column);
      if (!age || *age <= worst) continue;
      worst = *age;
      object = std::string(ids) + " ids of " + std::string(row.text("datname"));
    }
  }
  if (worst >= 0 && !in_recovery) out.check(kWraparoundCheck, worst / kIds, object);
}

double lost_wal(std::string_view status) {
  if (status == "lost") return 2;
  return status == "unreserved" ? 1 : 0;
}

// A slot that nothing uses is the usual reason, and a logical one can only be dropped or read in
// its database.
std::string describe_slot(const Row& slot) {
  std::string text = std::string(slot.text("slot_name")) +
                     (slot.is_true("active") ? ", an active " : ", an inactive ") +
                     std::string(slot.text("slot_type")) + " slot";
  if (!slot.text("database").empty()) text += " of " + std::string(slot.text("database"));
  return text;
}

void read_slots(const Rows& rows, Part& out, std::string& /*lacks*/) {
  double most = 0;
  double lost = 0;
  std::string largest;
  std::string worst;
  bool knows_status = false;
  for (const Row slot : rows.all()) {
    const std::string_view name = slot.text("slot_name");
    kSlotTable.add(out, slot, name, slot.text("database"));
    kSlotStateTable.add(out, slot, name, slot.text("slot_type"));
    if (const double kept = slot.number("retained").value_or(0); kept > most) {
      most = kept;
      largest = describe_slot(slot);
    }
    const std::string_view status = slot.text("wal_status");
    knows_status = knows_status || !status.empty();
    if (lost_wal(status) > lost) {
      lost = lost_wal(status);
      worst = describe_slot(slot);
    }
  }
  if (rows.result().rows() == 0) return;
  out.check(kSlotWalCheck, most, largest);
  if (knows_status) out.check(kSlotStatusCheck, lost, worst);
}

// Describes the session that blocks the others, with what is needed to terminate it.
std::string describe_blocker(const Row& row) {
  const std::string_view pid = row.text("worst_pid");
  if (pid.empty()) return {};
  std::string text = "PID " + std::string(pid);
  if (pid == "0") text = "a prepared transaction";
  if (!row.text("worst_user").empty()) text += " of " + std::string(row.text("worst_user"));
  if (!row.text("worst_application").empty()) {
    text += " (" + std::string(row.text("worst_application")) + ')';
  }
  if (!row.text("worst_state").empty()) text += ", " + std::string(row.text("worst_state")) + ',';
  if (const std::optional<double> age = row.number("worst_transaction_age")) {
    const config::Duration whole(static_cast<std::int64_t>(std::clamp(*age, 0.0, 1e9)) * 1000);
    if (!text.ends_with(',')) text += ',';
    text += " transaction open for " + config::Scalar<config::Duration>::show(whole) + ',';
  }
  return text + " blocks " + std::string(row.text("blocked_by_worst"));
}

void read_blocked(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) {
    kBlockedTable.add(out, row);
    const std::optional<double> longest = row.number("longest");
    if (longest) out.check(kLockWaitCheck, *longest, describe_blocker(row));
  }
}

void read_transactions(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) {
    kTransactionTable.add(out, row);
    const std::optional<double> oldest = row.number("oldest_prepared");
    if (oldest) out.check(kPreparedCheck, *oldest);
    const std::string_view pid = row.text("oldest_idle_pid");
    const std::optional<double> idle = row.number("oldest_idle");
    if (idle)
      out.check(kIdleInTransactionCheck, *idle, pid.empty() ? "" : "PID " + std::string(pid));
  }
}

// A standby that only replays an archive has no receiver. If the primary is idle, there is no lag.
void read_recovery(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) {
    kRecoveryTable.add(out, row);
    if (!row.text("replay_paused").empty()) {
      out.check(kReplayPausedCheck, row.is_true("replay_paused") ? 1 : 0);
    }
    if (!row.is_true("follows_primary")) continue;
    const bool receives = row.number("receivers").value_or(0) > 0;
    out.check(kWalReceiverCheck, receives ? 0 : 1);
    const std::optional<double> lag = row.number("lag");
    const double delay = row.number("apply_delay").value_or(0);
    if (lag) out.check(kReplicationLagCheck, std::max(*lag - delay, 0.0));
  }
}

void read_old_background_writer(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) {
    kBackgroundWriterTable.add(out, row);
    kOldCheckpointTable.add(out, row);
  }
}

void read_background_writer(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) {
    kBackgroundWriterTable.add(out, row);
    kCheckpointerTable.add(out, row);
  }
}

void read_checksums(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) kChecksumTable.add(out, row, row.text("datname"));
}

// Every role may execute these statements. An error of one would fail the whole run.
constexpr std::array kCollectors = {
    Collector{.name = "rights", .sql = kRightsSql, .read = read_rights},
    Collector{.name = "database_wraparound", .sql = kWraparoundSql, .read = read_wraparound},
    Collector{.name = "replication_slots", .sql = kSlotsSql, .read = read_slots},
    Collector{.name = "blocked", .sql = kBlockedSql, .read = read_blocked},
    Collector{.name = "transactions", .sql = kTransactionsSql, .read = read_transactions},
    Collector{.name = "recovery", .sql = kRecoverySql, .read = read_recovery},
    Collector{.name = "bgwriter",
              .sql = kOldBackgroundWriterSql,
              .read = read_old_background_writer,
              .max_version = 16},
    Collector{.name = "bgwriter",
              .sql = kBackgroundWriterSql,
              .read = read_background_writer,
              .min_version = 17},
    Collector{.name = "checksums", .sql = kChecksumsSql, .read = read_checksums, .min_version = 12},
};

}  // namespace

std::string fast_statements(int version) {
  std::string statements(kStatements);
  for (const Collector& collector : kCollectors) {
    if (collector.supports(version)) statements.append(";").append(collector.sql);
  }
  return statements;
}

std::string add_fast_lane(std::span<const net::PgResult> results, int version, Part& out) {
  std::size_t next = 0;
  std::string lacks;
  for (const Collector& collector : kCollectors) {
    if (!collector.supports(version)) continue;
    if (next == results.size()) {
      throw ProbeError(Reason::protocol, "results are missing from the response");
    }
    collector.read(Rows(results[next++]), out, lacks);
  }
  return lacks;
}

// Shows the first line only: one GRANT of pg_monitor adds all permissions.
void check_permissions(std::string_view lacks, Part& out) {
  const auto lines = std::ranges::count(lacks, '\n') + (lacks.empty() ? 0 : 1);
  out.check(kPermissionsCheck, static_cast<double>(lines), lacks.substr(0, lacks.find('\n')));
}

}  // namespace vitalsd::postgres
