// A scripted server answers the statements. tests/integration runs them on a real server.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/conversation.hpp"
#include "unit/support/kinds.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using Value = std::optional<std::string>;  // nothing: NULL

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<Value>> rows;

  Value& at(std::size_t row, std::string_view column) {
    const auto found = std::ranges::find(columns, column);
    return rows.at(row).at(static_cast<std::size_t>(found - columns.begin()));
  }
};

constexpr std::optional<std::string> kNull;

std::string big_endian(std::size_t number, int bytes) {
  std::string out;
  for (int shift = 8 * (bytes - 1); shift >= 0; shift -= 8) {
    out += static_cast<char>(number >> static_cast<unsigned>(shift) & 0xff);
  }
  return out;
}

std::string message(char type, const std::string& body) {
  return type + big_endian(body.size() + 4, 4) + body;
}

std::string text(const std::string& value) { return value + '\0'; }

std::string error(const std::string& severity, const std::string& sqlstate,
                  const std::string& what) {
  return message('E', 'S' + text(severity) + 'V' + text(severity) + 'C' + text(sqlstate) + 'M' +
                          text(what) + '\0');
}

const std::string kReady = message('Z', "I");

std::string result(const Table& table) {
  std::string description = big_endian(table.columns.size(), 2);
  for (const std::string& column : table.columns) {
    // Name, table, column, type (text), size, modifier, format (text).
    description += text(column) + big_endian(0, 4) + big_endian(0, 2) + big_endian(25, 4) +
                   big_endian(0xffff, 2) + big_endian(0xffffffff, 4) + big_endian(0, 2);
  }
  std::string out = message('T', description);
  for (const std::vector<Value>& row : table.rows) {
    std::string data = big_endian(row.size(), 2);
    for (const Value& value : row) {
      data += value ? big_endian(value->size(), 4) + *value : big_endian(0xffffffff, 4);
    }
    out += message('D', data);
  }
  return out + message('C', text("SELECT " + std::to_string(table.rows.size())));
}

class PostgresTest : public testing::Test {
 protected:
  asio::awaitable<void> serve(test::Line& line) {
    startup = co_await line.read(size_of(co_await line.read(4)));
    if (!refusal.empty()) {
      co_await line.write(refusal);
      co_return;
    }
    co_await line.write(message('R', big_endian(0, 4)) +
                        message('S', text("server_version") + text(version)) + kReady);
    for (;;) {
      const std::string type = co_await line.read(1);
      const std::string body = co_await line.read(size_of(co_await line.read(4)));
      if (type != "Q") co_return;
      co_await line.write(answer(body));
      if (hangs_up_after_statistics && body.contains("pg_stat_archiver")) co_return;
    }
  }

  std::string answer(const std::string& query) {
    if (query.contains("statement_timeout")) {
      timeout = query;
      return message('C', text("BEGIN")) + message('C', text("SET")) + message('C', text("SET")) +
             message('Z', "T");
    }
    if (query.contains("pg_database_size")) {
      ++size_queries;
      for (const std::string& column : sizes.columns) EXPECT_TRUE(query.contains(column)) << column;
      if (!size_error.empty()) return size_error + kReady;
      return result(sizes) + message('C', text("COMMIT")) + kReady;
    }
    ++queries;
    std::vector<const Table*> tables = {&server,   &databases, &activity,     &locks,
                                        &standbys, &archiver,  &rights,       &ages,
                                        &slots,    &blocked,   &transactions, &recovery};
    tables.push_back(version.starts_with("17") ? &checkpointer : &background_writer);
    if (!version.starts_with("10")) tables.push_back(&checksums);
    for (const Table* table : tables) {
      for (const std::string& column : table->columns)
        EXPECT_TRUE(query.contains(column)) << column;
    }
    if (!query_error.empty()) return query_error + kReady;
    std::string out;
    for (const Table* table : tables) out += result(*table);
    if (lacks_results) out = result(server);
    return out + message('C', text("COMMIT")) + kReady;
  }

  [[nodiscard]] std::string options(const std::string& more = "") const {
    return "slow_interval: 0s, url: 'postgresql://monitor@" + peer.endpoint() +
           "/postgres?sslmode=disable'" + more;
  }
  test::Observation observe() { return fixture.observe("postgres", options()); }

  static std::size_t size_of(const std::string& bytes) {
    std::size_t size = 0;
    for (const char c : bytes) size = size << 8U | static_cast<unsigned char>(c);
    return size - 4;
  }

  Table server = {
      .columns = {"max_connections", "superuser_reserved_connections", "reserved_connections",
                  "reads_all_stats", "in_recovery", "start_time", "replay_lag", "short_version",
                  "version", "last_message_time", "streaming_receivers"},
      .rows = {{"100", "3", "2", "t", "f", "1700000000.5", kNull, "16.1", "PostgreSQL 16.1", kNull,
                kNull}}};
  Table databases = {
      .columns = {"datname", "numbackends", "xact_commit", "xact_rollback", "blks_read", "blks_hit",
                  "deadlocks", "conflicts", "temp_bytes", "temp_files", "is_current"},
      .rows = {{"postgres", "2", "10", "1", "100", "900", "0", "0", "0", "0", "t"},
               {"shop", "60", "5000", "7", "11", "22", "2", "3", "4096", "4", "f"}}};
  Table activity = {.columns = {"datname", "state", "connections", "longest_transaction"},
                    .rows = {{"shop", "active", "20", "1.5"},
                             {"shop", "idle", "30", kNull},
                             {"shop", "idle in transaction", "5", "600"},
                             {"postgres", "idle", "1", kNull}}};
  Table locks = {
      .columns = {"datname", "mode", "locks", "waiting"},
      .rows = {{"shop", "AccessShareLock", "12", "0"}, {"shop", "ExclusiveLock", "3", "2"}}};
  Table standbys = {.columns = {"application_name", "client_address", "lag_bytes", "flush_lag",
                                "replay_lag", "standbys"},
                    .rows = {{"replica", "10.0.0.2", "1024", "0.5", "1.5", "2"},
                             {"backup", "local", kNull, kNull, kNull, "1"}}};
  Table archiver = {
      .columns = {"archived_count", "failed_count", "last_archived_time", "last_failed_time",
                  "archived_age", "archives", "failing", "waiting"},
      .rows = {{"500", "6", "1700000100", "1700000050", "2000", "t", "f", "f"}}};
  Table rights = {.columns = {"sessions", "standby_settings", "database_sizes"},
                  .rows = {{"t", kNull, "t"}}};
  Table ages = {.columns = {"datname", "xid_age", "mxid_age", "in_recovery"},
                .rows = {{"postgres", "200", "0", "f"}, {"shop", "1073741824", "7", "f"}}};
  Table slots = {.columns = {"slot_name", "database", "slot_type", "active", "retained",
                             "wal_status", "safe_wal_size", "inactive_since"},
                 .rows = {{"standby_1", "", "physical", "t", "4096", "reserved", kNull, kNull},
                          {"old", "shop", "logical", "f", "1048576", "lost", "-1", "1700000000"}}};
  Table blocked = {
      .columns = {"blocked", "blocking", "longest", "blocked_by_worst", "worst_pid", "worst_user",
                  "worst_application", "worst_state", "worst_transaction_age"},
      .rows = {{"3", "1", "12.5", "2", "4711", "app", "worker", "idle in transaction", "754.2"}}};
  Table transactions = {
      .columns = {"txid", "wal_position", "prepared", "oldest_prepared", "session_xmin_age",
                  "standby_xmin_age", "prepared_xmin_age", "slot_xmin_age", "oldest_idle",
                  "oldest_idle_pid"},
      .rows = {{"5000", "1000000", "1", "90", "10", kNull, "30", "0", "600", "4712"}}};
  Table recovery = {
      .columns = {"follows_primary", "replay_paused", "receivers", "apply_delay", "lag"},
      .rows = {{kNull, kNull, kNull, "0", kNull}}};
  Table background_writer = {
      .columns = {"checkpoints_timed", "checkpoints_req", "checkpoint_write_time",
                  "checkpoint_sync_time", "buffers_checkpoint", "buffers_clean", "maxwritten_clean",
                  "buffers_backend", "buffers_backend_fsync", "buffers_alloc"},
      .rows = {{"10", "2", "300", "4", "5", "6", "7", "8", "9", "11"}}};
  Table checkpointer = {
      .columns = {"buffers_clean", "maxwritten_clean", "buffers_alloc", "num_timed",
                  "num_requested", "restartpoints_timed", "restartpoints_req", "restartpoints_done",
                  "write_time", "sync_time", "buffers_written"},
      .rows = {{"6", "7", "11", "10", "2", "0", "0", "0", "300", "4", "5"}}};
  Table checksums = {.columns = {"datname", "checksum_failures"}, .rows = {{"shop", "1"}}};
  Table sizes = {.columns = {"datname", "size"},
                 .rows = {{"postgres", "8000000"}, {"shop", "1000000000000"}}};

  std::string version = "16.1";
  std::string refusal;      // instead of a connection
  std::string query_error;  // instead of results
  std::string size_error;
  bool lacks_results = false;
  bool hangs_up_after_statistics = false;

  // What the server received.
  std::string startup;
  std::string timeout;
  int queries = 0;
  int size_queries = 0;

  test::ProbeFixture fixture;
  test::Conversation peer{fixture.loop, [this](test::Line& line) { return serve(line); }};
};

TEST_F(PostgresTest, PublishesServerSettings) {
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("pg_settings_superuser_reserved_connections"), 3);
  EXPECT_EQ(run.value("pg_settings_reserved_connections"), 2);
  EXPECT_EQ(run.value("pg_monitoring_incomplete", {{"reason", "permission"}}), 0);
  EXPECT_EQ(run.value("pg_replication_is_replica"), 0);
  EXPECT_EQ(run.value("pg_postmaster_start_time_seconds"), 1700000000.5);
  EXPECT_EQ(run.value("pg_static", {{"short_version", "16.1"}, {"version", "PostgreSQL 16.1"}}), 1);
}

TEST_F(PostgresTest, PublishesEachDatabase) {
  const test::Observation run = observe();
  const std::map<std::string, double> shop = {{"pg_stat_activity_count", 55},
                                              {"pg_settings_max_connections", 100},
                                              {"pg_stat_database_xact_commit", 5000},
                                              {"pg_stat_database_xact_rollback", 7},
                                              {"pg_stat_database_blks_read", 11},
                                              {"pg_stat_database_blks_hit", 22},
                                              {"pg_stat_database_deadlocks", 2},
                                              {"pg_stat_database_conflicts", 3},
                                              {"pg_stat_database_temp_bytes", 4096},
                                              {"pg_stat_database_temp_files", 4},
                                              {"pg_locks_waiting", 2},
                                              {"pg_database_size_bytes", 1e12}};
  for (const auto& [name, value] : shop) {
    EXPECT_EQ(run.value(name, {{"datname", "shop"}}), value) << name;
    EXPECT_EQ(run.count(name), 2U) << name;
  }
  EXPECT_EQ(run.value("pg_locks_waiting", {{"datname", "postgres"}}), 0);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "postgres"}}), 1);
}

TEST_F(PostgresTest, PublishesConnectionsByStateAndLocksByMode) {
  const test::Observation run = observe();
  EXPECT_EQ(run.count("pg_stat_activity_connections"), 4U);
  EXPECT_EQ(run.value("pg_stat_activity_connections",
                      {{"datname", "shop"}, {"state", "idle in transaction"}}),
            5);
  EXPECT_EQ(run.value("pg_stat_activity_max_tx_duration",
                      {{"datname", "shop"}, {"state", "idle in transaction"}}),
            600);
  // Two states have no open transaction, and so no age.
  EXPECT_EQ(run.count("pg_stat_activity_max_tx_duration"), 2U);
  EXPECT_EQ(run.value("pg_locks_count", {{"datname", "shop"}, {"mode", "ExclusiveLock"}}), 3);
  EXPECT_EQ(run.count("pg_locks_count"), 2U);
}

TEST_F(PostgresTest, ChecksTheConnectionsOfAllDatabasesTogether) {
  EXPECT_EQ(observe().reading("connections"), 0.56);
}

TEST_F(PostgresTest, ReportsNoRatioWithoutMaxConnections) {
  server.at(0, "max_connections") = kNull;
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("pg_settings_max_connections"), 0U);
  EXPECT_EQ(run.reading("connections"), std::nullopt);
}

// Without pg_monitor, pg_stat_activity hides other roles' sessions; pg_stat_database does not.
TEST_F(PostgresTest, CountsBackendsWithoutPgMonitor) {
  server.at(0, "reads_all_stats") = "f";
  activity.rows = {{"shop", "unknown", "1", kNull}};
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("pg_monitoring_incomplete", {{"reason", "permission"}}), 1);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 60);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "postgres"}}),
            1);  // without the probe's own
  EXPECT_EQ(run.count("pg_stat_activity_connections"), 0U);
  EXPECT_EQ(run.count("pg_stat_activity_max_tx_duration"), 0U);
  EXPECT_EQ(run.reading("connections"), 0.61);
}

TEST_F(PostgresTest, TellsWhichReadingsTheRoleLacks) {
  test::Observation run = observe();
  EXPECT_EQ(run.value("vitalsd_postgres_reading_permitted", {{"reading", "sessions"}}), 1);
  EXPECT_EQ(run.count("vitalsd_postgres_reading_permitted"), 2U);  // it is no standby
  EXPECT_EQ(run.status("permissions"), Status::ok);
  rights.rows = {{"f", "f", "t"}};
  run = observe();
  const std::string_view grant =
      "not read: sessions and statements of other roles, standbys, the WAL receiver: "
      "GRANT pg_monitor TO \"monitor\"";
  EXPECT_EQ(run.reading("permissions", grant), 2) << run.text();
  EXPECT_EQ(run.status("permissions", grant), Status::warning);
  EXPECT_EQ(run.value("vitalsd_postgres_reading_permitted", {{"reading", "standby_settings"}}), 0);
}

TEST_F(PostgresTest, OmitsNullValues) {
  server.at(0, "reserved_connections") = kNull;                        // before PostgreSQL 16
  archiver.rows = {{"0", "0", kNull, kNull, kNull, "f", "f", kNull}};  // archive_mode is off
  databases.rows[1] = {"shop", kNull, kNull, kNull, kNull, kNull, kNull, kNull, kNull, kNull, "f"};
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("pg_settings_reserved_connections"), 0U);
  EXPECT_EQ(run.count("pg_replication_lag_seconds"), 0U);
  EXPECT_EQ(run.value("pg_stat_archiver_archived_count"), 0);
  EXPECT_EQ(run.count("pg_stat_archiver_last_archived_timestamp_seconds"), 0U);
  EXPECT_EQ(run.count("pg_stat_database_xact_commit"), 1U);
}

TEST_F(PostgresTest, PublishesTheLagOfAStandby) {
  server.at(0, "in_recovery") = "t";
  server.at(0, "replay_lag") = "12.5";
  server.at(0, "last_message_time") = "1700000200";
  server.at(0, "streaming_receivers") = "1";
  const test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_wal_receiver_streaming"), 1);
  EXPECT_EQ(run.value("pg_stat_wal_receiver_last_msg_receipt_timestamp_seconds"), 1700000200);
  EXPECT_EQ(run.value("pg_replication_is_replica"), 1);
  EXPECT_EQ(run.value("pg_replication_lag_seconds"), 12.5);
}

TEST_F(PostgresTest, CountsStandbysWithTheSameName) {
  const test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_replication_standbys"), 3);
  EXPECT_EQ(run.value("pg_stat_replication_pg_wal_lsn_diff",
                      {{"application_name", "replica"}, {"client_addr", "10.0.0.2"}}),
            1024);
  EXPECT_EQ(run.count("pg_stat_replication_pg_wal_lsn_diff"), 1U);  // NULL for the other
}

TEST_F(PostgresTest, ChecksWalThatWaitsToBeArchived) {
  test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_archiver_failing"), 0);
  EXPECT_EQ(run.value("pg_stat_archiver_last_failed_timestamp_seconds"), 1700000050);
  EXPECT_EQ(run.reading("wal_archive_age"), 0);  // an idle server

  archiver.at(0, "waiting") = "t";  // archive_command hangs
  EXPECT_EQ(observe().reading("wal_archive_age"), 2000);

  archiver.at(0, "failing") = "t";
  archiver.at(0, "waiting") = kNull;  // no file was archived yet
  run = observe();
  EXPECT_EQ(run.value("pg_stat_archiver_failing"), 1);
  EXPECT_EQ(run.reading("wal_archive_age", "the last attempt failed"), 2000);
}

TEST_F(PostgresTest, MeasuresWaitingWalFromTheLastRunWithoutAny) {
  const auto probe = fixture.make("postgres", options());
  fixture.observe(*probe);
  archiver.at(0, "waiting") = "t";  // the server was idle until now
  const auto waiting = fixture.observe(*probe).reading("wal_archive_age");
  ASSERT_TRUE(waiting);
  EXPECT_LT(*waiting, 60);
}

TEST_F(PostgresTest, ChecksNoWalOfAServerThatDoesNotArchive) {
  archiver.at(0, "archives") = "f";
  archiver.at(0, "failing") = "t";  // from the time when it did
  const test::Observation run = observe();
  EXPECT_EQ(run.count("pg_stat_archiver_failing"), 0U);
  EXPECT_EQ(run.reading("wal_archive_age"), std::nullopt);
  archiver.at(0, "archives") = "t";
  archiver.at(0, "failing") = "f";
  archiver.at(0, "waiting") = kNull;  // unknown: the last file was not a WAL file
  EXPECT_EQ(observe().reading("wal_archive_age"), std::nullopt);
}

TEST_F(PostgresTest, ChecksTheIdsThatAreUsedUp) {
  EXPECT_EQ(observe().reading("wraparound", "transaction ids of shop"), 0.5);
  ages.rows = {{"shop", "200", "2147483647", "f"}};
  const test::Observation run = observe();
  EXPECT_GT(*run.reading("wraparound", "multixact ids of shop"), 0.99);
  EXPECT_EQ(run.value("pg_database_wraparound_age_datminmxid_seconds", {{"datname", "shop"}}),
            2147483647);
  ages.rows = {{"shop", "1073741824", "0", "t"}};  // the primary has the same ids
  EXPECT_EQ(observe().reading("wraparound"), std::nullopt);
}

TEST_F(PostgresTest, ChecksReplicationSlots) {
  test::Observation run = observe();
  EXPECT_EQ(run.value("pg_replication_slots_active", {{"slot_name", "old"}, {"database", "shop"}}),
            0);
  EXPECT_EQ(run.value("pg_replication_slots_wal_status",
                      {{"slot_name", "old"}, {"slot_type", "logical"}, {"wal_status", "lost"}}),
            1);
  EXPECT_EQ(run.reading("slot_wal", "old, an inactive logical slot of shop"), 1048576);
  EXPECT_EQ(run.reading("slot_status", "old, an inactive logical slot of shop"), 2);
  slots.at(0, "retained") = "2097152";
  EXPECT_EQ(observe().reading("slot_wal", "standby_1, an active physical slot"), 2097152);
  slots.at(1, "wal_status") = "unreserved";
  EXPECT_EQ(observe().reading("slot_status", "old, an inactive logical slot of shop"), 1);
  slots.at(0, "wal_status") = slots.at(1, "wal_status") = kNull;  // before PostgreSQL 13
  run = observe();
  EXPECT_EQ(run.reading("slot_status"), std::nullopt);
  EXPECT_EQ(run.count("pg_replication_slots_wal_status"), 0U);
  slots.rows.clear();
  EXPECT_EQ(observe().reading("slot_wal"), std::nullopt);
}

TEST_F(PostgresTest, NamesTheSessionThatBlocksOthers) {
  test::Observation run = observe();
  EXPECT_EQ(run.value("pg_blocked_sessions"), 3);
  EXPECT_EQ(
      run.reading("lock_wait",
                  "PID 4711 of app (worker), idle in transaction, transaction open for 12m34s, "
                  "blocks 2"),
      12.5);
  blocked.at(0, "worst_transaction_age") = "59.9";
  EXPECT_EQ(observe().reading("lock_wait",
                              "PID 4711 of app (worker), idle in transaction, transaction open for "
                              "59s, blocks 2"),
            12.5);
  blocked.rows = {{"1", "1", "8", "1", "0", kNull, kNull, kNull, kNull}};
  EXPECT_EQ(observe().reading("lock_wait", "a prepared transaction blocks 1"), 8);
  blocked.rows = {{"0", "0", "0", kNull, kNull, kNull, kNull, kNull, kNull}};
  EXPECT_EQ(observe().reading("lock_wait"), 0);
  blocked.at(0, "longest") = kNull;  // before PostgreSQL 14
  EXPECT_EQ(observe().reading("lock_wait"), std::nullopt);
}

TEST_F(PostgresTest, ChecksTransactionsThatNobodyEnds) {
  test::Observation run = observe();
  EXPECT_EQ(run.reading("idle_in_transaction", "PID 4712"), 600);
  EXPECT_EQ(run.reading("prepared_transaction_age"), 90);
  EXPECT_EQ(run.value("pg_xmin_horizon_age", {{"holder", "prepared"}}), 30);
  EXPECT_EQ(run.count("pg_xmin_horizon_age"), 3U);  // the value of standbys is unknown
  transactions.at(0, "oldest_idle") = transactions.at(0, "oldest_idle_pid") = kNull;
  EXPECT_EQ(observe().reading("idle_in_transaction"),
            std::nullopt);  // the probe sees no other sessions
}

TEST_F(PostgresTest, ChecksAStandbyThatFollowsAPrimary) {
  EXPECT_EQ(observe().reading("wal_receiver"), std::nullopt);
  EXPECT_EQ(observe().reading("replay_paused"), std::nullopt);
  recovery.rows = {{"t", "f", "1", "60", "70"}};
  test::Observation run = observe();
  EXPECT_EQ(run.reading("wal_receiver"), 0);
  EXPECT_EQ(run.reading("replication_lag"), 10);  // recovery_min_apply_delay is 60 s
  EXPECT_EQ(run.value("pg_replication_replay_paused"), 0);
  EXPECT_EQ(run.reading("replay_paused"), 0);
  recovery.rows = {{"t", "t", "0", "0", kNull}};
  run = observe();
  EXPECT_EQ(run.reading("wal_receiver"), 1);
  EXPECT_EQ(run.reading("replication_lag"), std::nullopt);
  EXPECT_EQ(run.value("pg_replication_replay_paused"), 1);
  EXPECT_EQ(run.reading("replay_paused"), 1);
  recovery.rows = {{"f", "f", "0", "0", "7200"}};  // it replays an archive of an idle primary
  run = observe();
  EXPECT_EQ(run.reading("wal_receiver"), std::nullopt);
  EXPECT_EQ(run.reading("replication_lag"), std::nullopt);
}

TEST_F(PostgresTest, ReadsCheckpointsOfEachVersion) {
  test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_bgwriter_checkpoints_req_total"), 2);
  EXPECT_EQ(run.count("pg_stat_checkpointer_num_requested_total"), 0U);
  version = "17.2";
  run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("pg_stat_checkpointer_num_requested_total"), 2);
  EXPECT_EQ(run.value("pg_stat_bgwriter_buffers_alloc_total"), 11);
  EXPECT_EQ(run.count("pg_stat_bgwriter_checkpoints_req_total"), 0U);
}

TEST_F(PostgresTest, AcceptsEmptyResults) {
  standbys.rows.clear();
  activity.rows.clear();
  locks.rows.clear();
  archiver.rows.clear();
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("pg_stat_replication_standbys"), 0);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 0);
  EXPECT_EQ(run.count("pg_stat_archiver_archived_count"), 0U);
  EXPECT_EQ(run.reading("connections"), 0);
}

TEST_F(PostgresTest, PublishesManyDatabases) {
  databases.rows.clear();
  sizes.rows.clear();
  for (int i = 0; i < 500; ++i) {
    databases.rows.push_back(
        {"db " + std::to_string(i), "1", "1", "1", "1", "1", "1", "1", "1", "1", "f"});
    sizes.rows.push_back({"db " + std::to_string(i), std::to_string(i)});
  }
  const test::Observation run = observe();
  EXPECT_EQ(run.count("pg_stat_database_xact_commit"), 500U);
  EXPECT_EQ(run.value("pg_database_size_bytes", {{"datname", "db 499"}}), 499);
  EXPECT_EQ(run.duplicates(), 0U);
}

TEST_F(PostgresTest, KeepsDatabaseNamesUnchanged) {
  databases.at(1, "datname") = "a \"b\"\\\n{c}";
  const test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_database_xact_commit", {{"datname", "a \"b\"\\\n{c}"}}), 5000);
}

TEST_F(PostgresTest, ReadsSizesOncePerSizeInterval) {
  const auto probe = fixture.make("postgres", options());
  fixture.observe(*probe);
  sizes.at(1, "size") = "5";
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(queries, 2);
  EXPECT_EQ(size_queries, 1);
  EXPECT_EQ(run.value("pg_database_size_bytes", {{"datname", "shop"}}), 1e12);  // the kept value
}

TEST_F(PostgresTest, ReadsSizesOfAnotherServerAtOnce) {
  const auto probe = fixture.make("postgres", options());
  fixture.observe(*probe);
  sizes.at(1, "size") = "5";
  server.at(0, "start_time") = "1700000001.5";  // a failover behind the address
  EXPECT_EQ(fixture.observe(*probe).value("pg_database_size_bytes", {{"datname", "shop"}}), 5);
  sizes.at(1, "size") = "6";
  server.at(0, "in_recovery") = "t";
  EXPECT_EQ(fixture.observe(*probe).value("pg_database_size_bytes", {{"datname", "shop"}}), 6);
  EXPECT_EQ(size_queries, 3);
  for (const char* in_recovery : {"f", "t", "f"}) {  // a pooler alternates between two servers
    server.at(0, "in_recovery") = in_recovery;
    fixture.observe(*probe);
  }
  EXPECT_EQ(size_queries, 3);
}

TEST_F(PostgresTest, KeepsItsConnection) {
  const auto probe = fixture.make("postgres", options());
  fixture.observe(*probe);
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 1);
  // The server's timeout equals the run's time limit.
  EXPECT_TRUE(timeout.contains("statement_timeout = 10000")) << timeout;
  EXPECT_TRUE(startup.contains(std::string("database\0postgres\0", 18)));
  EXPECT_TRUE(startup.contains(std::string("user\0monitor\0", 13)));
}

TEST_F(PostgresTest, ReconnectsAfterAFailure) {
  const auto probe = fixture.make("postgres", options());
  query_error = error("ERROR", "57014", "canceling statement due to statement timeout");
  EXPECT_TRUE(fixture.observe(*probe).failure().starts_with("timeout: "));
  query_error.clear();
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(PostgresTest, ReconnectsAfterACancelledRun) {
  const auto probe = fixture.make("postgres", options());
  fixture.observe(*probe);
  auto task = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return queries == 2; }));
  task.cancel();
  ASSERT_TRUE(fixture.until([&] { return task.done(); }));
  EXPECT_THROW(task.get(), boost::system::system_error);
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(PostgresTest, KeepsTheStatisticsIfTheConnectionFailsBeforeTheSizes) {
  hangs_up_after_statistics = true;
  const test::Observation run = observe();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 55);
  EXPECT_EQ(run.count("pg_database_size_bytes"), 0U);
}

// pg_database_size() reads directories, which may take minutes if there are many files. The server
// is up nevertheless.
TEST_F(PostgresTest, ReportsOverloadIfReadingSizesTakesTooLong) {
  size_error = error("ERROR", "57014", "canceling statement due to statement timeout");
  const auto probe = fixture.make("postgres", options());
  for (int i = 0; i < 2; ++i) {  // the second run does not query the sizes; the failure remains
    const test::Observation run = fixture.observe(*probe);
    EXPECT_FALSE(run.threw());
    EXPECT_TRUE(run.failure().starts_with("overload: database sizes: ")) << run.failure();
    EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 55);
    EXPECT_EQ(run.count("pg_database_size_bytes"), 0U);
  }
  EXPECT_EQ(size_queries, 1);
}

TEST_F(PostgresTest, ConcealsThePasswordOnAKeptConnection) {
  const std::string with_password = "slow_interval: 0s, url: 'postgresql://monitor:hunter2@" +
                                    peer.endpoint() + "/postgres?sslmode=disable'";
  const auto probe = fixture.make("postgres", with_password);
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  query_error = error("ERROR", "XX000", "syntax error near hunter2");
  const std::string failure = fixture.observe(*probe).failure();
  EXPECT_TRUE(failure.contains("syntax error near ")) << failure;
  EXPECT_FALSE(failure.contains("hunter2")) << failure;
  EXPECT_EQ(peer.accepted(), 1);
}

TEST_F(PostgresTest, ReportsWhyTheServerRejectsTheConnection) {
  struct Case {
    std::string sqlstate, text, reason;
  };
  for (const Case& test_case :
       std::vector<Case>{{"28P01", "password authentication failed for user \"monitor\"", "auth"},
                         {"3D000", "database \"postgres\" does not exist", "mismatch"},
                         {"57P03", "the database system is starting up", "unready"}}) {
    refusal = error("FATAL", test_case.sqlstate, test_case.text);
    const test::Observation run = observe();
    EXPECT_EQ(run.reason(), test_case.reason);
    EXPECT_TRUE(run.failure().contains(test_case.text)) << run.failure();
    EXPECT_TRUE(run.threw());
    EXPECT_EQ(run.names().size(), 0U);
    EXPECT_EQ(run.reading("connections"), std::nullopt);
  }
}

// No statistics can be read, but the server is known to be full.
TEST_F(PostgresTest, ReportsAFullServerAsOverload) {
  refusal = error("FATAL", "53300", "sorry, too many clients already");
  const test::Observation run = observe();
  EXPECT_EQ(run.reason(), "overload");
  EXPECT_EQ(run.reading("connections"), 1);
}

TEST_F(PostgresTest, ReportsMissingPermission) {
  query_error = error("ERROR", "42501", "permission denied for view pg_stat_activity");
  EXPECT_EQ(observe().reason(), "permission");
}

TEST_F(PostgresTest, RejectsAResponseWithoutAllResults) {
  lacks_results = true;
  EXPECT_EQ(observe().failure(), "protocol: results are missing from the response");
}

TEST_F(PostgresTest, RejectsAResponseWithoutAColumn) {
  databases.columns.back() = "oid";
  server.at(0, "reads_all_stats") = "f";
  EXPECT_EQ(observe().failure(), "protocol: the response has no column is_current");
}

TEST_F(PostgresTest, RejectsUnsupportedServerVersions) {
  version = "9.6.24";
  EXPECT_EQ(observe().failure(), "config: PostgreSQL before 10 is not supported");
  EXPECT_EQ(queries, 0);
  version = "10.0";
  EXPECT_EQ(observe().failure(), "");
}

TEST_F(PostgresTest, ReportsAConnectionFailure) {
  const test::ClosedPort closed;
  const test::Observation run = fixture.observe(
      "postgres", "url: 'postgresql://monitor@" + closed.endpoint() + "?sslmode=disable'");
  EXPECT_EQ(run.reason(), "connect");
  EXPECT_EQ(run.reading("connections"), std::nullopt);
}

TEST_F(PostgresTest, InheritsTheConnectionOfTheSameUserOnly) {
  const auto first = fixture.make("postgres", options());
  fixture.observe(*first);
  const auto same = fixture.make("postgres", options(", size_interval: 1h"));
  same->inherit(*first);
  fixture.observe(*same);
  EXPECT_EQ(peer.accepted(), 1);
  const auto other = fixture.make("postgres", "slow_interval: 0s, url: 'postgresql://admin@" +
                                                  peer.endpoint() + "/postgres?sslmode=disable'");
  other->inherit(*same);
  fixture.observe(*other);
  EXPECT_EQ(peer.accepted(), 2);
}

// The connection may lead to a server that is no longer trusted, or use a password that is no
// longer valid.
TEST_F(PostgresTest, InheritsNoConnectionIfConnectionOptionsDiffer) {
  const auto first = fixture.make("postgres", options());
  fixture.observe(*first);
  int connections = 1;
  for (const char* option : {", channel_binding: disable", ", allow_cleartext_password: true",
                             ", password: {env: VITALSD_TEST_NONE}"}) {
    const auto next = fixture.make("postgres", options(option));
    next->inherit(*first);
    fixture.observe(*next);
    connections += std::string_view(option).contains("env") ? 0 : 1;  // the password cannot be read
    EXPECT_EQ(peer.accepted(), connections) << option;
  }
}

TEST_F(PostgresTest, ConnectsToAnIpv6Literal) {
  if (!test::has_ipv6()) GTEST_SKIP() << "there is no ::1";
  const test::Conversation other(
      fixture.loop, [this](test::Line& line) { return serve(line); },
      asio::ip::address_v6::loopback());
  const auto probe = fixture.make("postgres", "slow_interval: 0s, url: 'postgresql://monitor@" +
                                                  other.endpoint() + "?sslmode=disable'");
  EXPECT_EQ(fixture.observe(*probe).failure(), "");
  EXPECT_EQ(probe->target(), other.endpoint() + "/monitor");  // libpq's default
}

}  // namespace
}  // namespace vitalsd
