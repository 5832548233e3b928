// The statements themselves run against a real server in tests/integration; here a scripted one
// answers them.
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
using Row = std::vector<Value>;
using Table = std::vector<Row>;

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
  const std::size_t columns = table.empty() ? 0 : table.front().size();
  std::string description = big_endian(columns, 2);
  for (std::size_t i = 0; i < columns; ++i) {
    // Name, table, column, type (text), size, modifier, format (text).
    description += text("c") + big_endian(0, 4) + big_endian(0, 2) + big_endian(25, 4) +
                   big_endian(0xffff, 2) + big_endian(0xffffffff, 4) + big_endian(0, 2);
  }
  std::string out = message('T', description);
  for (const Row& row : table) {
    std::string data = big_endian(row.size(), 2);
    for (const Value& value : row) {
      data += value ? big_endian(value->size(), 4) + *value : big_endian(0xffffffff, 4);
    }
    out += message('D', data);
  }
  return out + message('C', text("SELECT " + std::to_string(table.size())));
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
      if (!size_error.empty()) return size_error + kReady;
      return result(sizes) + message('C', text("COMMIT")) + kReady;
    }
    ++queries;
    if (!query_error.empty()) return query_error + kReady;
    std::string out;
    for (const Table& table : {server, databases, activity, locks, standbys, archiver}) {
      out += result(table);
    }
    if (lacks_results) out = result(server);
    return out + message('C', text("COMMIT")) + kReady;
  }

  [[nodiscard]] std::string options(const std::string& more = "") const {
    return "url: 'postgresql://monitor@" + peer.endpoint() + "/postgres?sslmode=disable'" + more;
  }
  test::Observation observe() { return house.observe("postgres", options()); }

  static std::size_t size_of(const std::string& bytes) {
    std::size_t size = 0;
    for (const char c : bytes) size = size << 8U | static_cast<unsigned char>(c);
    return size - 4;
  }

  // What it answers. Row of the server: max_connections, superuser_reserved_connections,
  // reserved_connections, sees all, is in recovery, start time, replay lag, versions, when the
  // receiver heard of the primary, whether it streams.
  Table server = {
      {"100", "3", "2", "t", "f", "1700000000.5", kNull, "16.1", "PostgreSQL 16.1", kNull, kNull}};
  Table databases = {{"postgres", "2", "10", "1", "100", "900", "0", "0", "0", "t"},
                     {"shop", "60", "5000", "7", "11", "22", "2", "3", "4096", "f"}};
  Table activity = {{"shop", "active", "20", "1.5"},
                    {"shop", "idle", "30", kNull},
                    {"shop", "idle in transaction", "5", "600"},
                    {"postgres", "idle", "1", kNull}};
  Table locks = {{"shop", "AccessShareLock", "12", "0"}, {"shop", "ExclusiveLock", "3", "2"}};
  Table standbys = {{"replica", "10.0.0.2", "1024", "2"}, {"backup", "local", kNull, "1"}};
  Table archiver = {{"500", "6", "1700000100"}};
  Table sizes = {{"postgres", "8000000"}, {"shop", "1000000000000"}};

  std::string version = "16.1";
  std::string refusal;      // instead of a connection
  std::string query_error;  // instead of results
  std::string size_error;
  bool lacks_results = false;
  bool hangs_up_after_statistics = false;

  // What it has seen.
  std::string startup;
  std::string timeout;
  int queries = 0;
  int size_queries = 0;

  test::KindHouse house;
  test::Conversation peer{house.loop, [this](test::Line& line) { return serve(line); }};
};

TEST_F(PostgresTest, PublishesTheServersSettings) {
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
  const std::map<std::string, double> shop = {
      {"pg_stat_activity_count", 55},         {"pg_settings_max_connections", 100},
      {"pg_stat_database_xact_commit", 5000}, {"pg_stat_database_xact_rollback", 7},
      {"pg_stat_database_blks_read", 11},     {"pg_stat_database_blks_hit", 22},
      {"pg_stat_database_deadlocks", 2},      {"pg_stat_database_conflicts", 3},
      {"pg_stat_database_temp_bytes", 4096},  {"pg_locks_waiting", 2},
      {"pg_database_size_bytes", 1e12}};
  for (const auto& [name, value] : shop) {
    EXPECT_EQ(run.value(name, {{"datname", "shop"}}), value) << name;
    EXPECT_EQ(run.count(name), 2U) << name;
  }
  EXPECT_EQ(run.value("pg_locks_waiting", {{"datname", "postgres"}}), 0);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "postgres"}}), 1);
}

TEST_F(PostgresTest, PublishesConnectionsAndLocksByTheirState) {
  const test::Observation run = observe();
  EXPECT_EQ(run.count("pg_stat_activity_connections"), 4U);
  EXPECT_EQ(run.value("pg_stat_activity_connections",
                      {{"datname", "shop"}, {"state", "idle in transaction"}}),
            5);
  EXPECT_EQ(run.value("pg_stat_activity_max_tx_duration",
                      {{"datname", "shop"}, {"state", "idle in transaction"}}),
            600);
  // Where no transaction is open there is no age of one.
  EXPECT_EQ(run.count("pg_stat_activity_max_tx_duration"), 2U);
  EXPECT_EQ(run.value("pg_locks_count", {{"datname", "shop"}, {"mode", "ExclusiveLock"}}), 3);
  EXPECT_EQ(run.count("pg_locks_count"), 2U);
}

TEST_F(PostgresTest, JudgesTheConnectionsOfAllDatabasesTogether) {
  EXPECT_EQ(observe().reading("connections"), 0.56);
}

TEST_F(PostgresTest, HasNoRatioWithoutAMaximum) {
  server[0][0] = kNull;
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("pg_settings_max_connections"), 0U);
  EXPECT_EQ(run.reading("connections"), std::nullopt);
}

// Without pg_monitor pg_stat_activity hides other roles' sessions; pg_stat_database does not.
TEST_F(PostgresTest, CountsBackendsWhereItMayNotSeeThem) {
  server[0][3] = "f";
  activity = {{"shop", "unknown", "1", kNull}};
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("pg_monitoring_incomplete", {{"reason", "permission"}}), 1);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 60);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "postgres"}}), 1);  // without ours
  EXPECT_EQ(run.count("pg_stat_activity_connections"), 0U);
  EXPECT_EQ(run.count("pg_stat_activity_max_tx_duration"), 0U);
  EXPECT_EQ(run.reading("connections"), 0.61);
}

TEST_F(PostgresTest, OmitsWhatTheServerDoesNotKnow) {
  server[0][2] = kNull;            // before PostgreSQL 16
  archiver = {{"0", "0", kNull}};  // nothing was ever archived
  databases[1] = {"shop", kNull, kNull, kNull, kNull, kNull, kNull, kNull, kNull, "f"};
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.count("pg_settings_reserved_connections"), 0U);
  EXPECT_EQ(run.count("pg_replication_lag_seconds"), 0U);
  EXPECT_EQ(run.value("pg_stat_archiver_archived_count"), 0);
  EXPECT_EQ(run.count("pg_stat_archiver_last_archived_timestamp_seconds"), 0U);
  EXPECT_EQ(run.count("pg_stat_database_xact_commit"), 1U);
}

TEST_F(PostgresTest, TellsHowFarAStandbyIsBehind) {
  server[0][4] = "t";
  server[0][6] = "12.5";
  server[0][9] = "1700000200";
  server[0][10] = "1";
  const test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_wal_receiver_streaming"), 1);
  EXPECT_EQ(run.value("pg_stat_wal_receiver_last_msg_receipt_timestamp_seconds"), 1700000200);
  EXPECT_EQ(run.value("pg_replication_is_replica"), 1);
  EXPECT_EQ(run.value("pg_replication_lag_seconds"), 12.5);
}

TEST_F(PostgresTest, CountsStandbysOfOneName) {
  const test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_replication_standbys"), 3);
  EXPECT_EQ(run.value("pg_stat_replication_pg_wal_lsn_diff",
                      {{"application_name", "replica"}, {"client_addr", "10.0.0.2"}}),
            1024);
  EXPECT_EQ(run.count("pg_stat_replication_pg_wal_lsn_diff"), 1U);  // of the other it is unknown
}

TEST_F(PostgresTest, CountsNoStandbysWhereThereAreNone) {
  standbys.clear();
  activity.clear();
  locks.clear();
  archiver.clear();
  const test::Observation run = observe();
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("pg_stat_replication_standbys"), 0);
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 0);
  EXPECT_EQ(run.count("pg_stat_archiver_archived_count"), 0U);
  EXPECT_EQ(run.reading("connections"), 0);
}

TEST_F(PostgresTest, PublishesManyDatabases) {
  databases.clear();
  sizes.clear();
  for (int i = 0; i < 500; ++i) {
    databases.push_back({"db " + std::to_string(i), "1", "1", "1", "1", "1", "1", "1", "1", "f"});
    sizes.push_back({"db " + std::to_string(i), std::to_string(i)});
  }
  const test::Observation run = observe();
  EXPECT_EQ(run.count("pg_stat_database_xact_commit"), 500U);
  EXPECT_EQ(run.value("pg_database_size_bytes", {{"datname", "db 499"}}), 499);
  EXPECT_EQ(run.duplicates(), 0U);
}

TEST_F(PostgresTest, KeepsNamesAsTheyAre) {
  databases[1][0] = "a \"b\"\\\n{c}";
  const test::Observation run = observe();
  EXPECT_EQ(run.value("pg_stat_database_xact_commit", {{"datname", "a \"b\"\\\n{c}"}}), 5000);
}

TEST_F(PostgresTest, ReadsSizesLessOftenThanTheRest) {
  const auto probe = house.make("postgres", options());
  house.observe(*probe);
  sizes[1][1] = "5";
  const test::Observation run = house.observe(*probe);
  EXPECT_EQ(queries, 2);
  EXPECT_EQ(size_queries, 1);
  EXPECT_EQ(run.value("pg_database_size_bytes", {{"datname", "shop"}}), 1e12);  // goes on
}

TEST_F(PostgresTest, KeepsItsConnection) {
  const auto probe = house.make("postgres", options());
  house.observe(*probe);
  EXPECT_EQ(house.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 1);
  // The server gives up when the run does.
  EXPECT_TRUE(timeout.contains("statement_timeout = 10000")) << timeout;
  EXPECT_TRUE(startup.contains(std::string("database\0postgres\0", 18)));
  EXPECT_TRUE(startup.contains(std::string("user\0monitor\0", 13)));
}

TEST_F(PostgresTest, ConnectsAnewAfterAFailure) {
  const auto probe = house.make("postgres", options());
  query_error = error("ERROR", "57014", "canceling statement due to statement timeout");
  EXPECT_TRUE(house.observe(*probe).failure().starts_with("timeout: "));
  query_error.clear();
  EXPECT_EQ(house.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(PostgresTest, DropsAConnectionThatARunWasCancelledOn) {
  const auto probe = house.make("postgres", options());
  house.observe(*probe);
  auto task = house.begin(*probe);
  ASSERT_TRUE(house.until([&] { return queries == 2; }));
  task.cancel();
  ASSERT_TRUE(house.until([&] { return task.done(); }));
  EXPECT_THROW(task.get(), boost::system::system_error);
  EXPECT_EQ(house.observe(*probe).failure(), "");
  EXPECT_EQ(peer.accepted(), 2);
}

TEST_F(PostgresTest, KeepsTheStatisticsWhereSizesCannotBeHad) {
  hangs_up_after_statistics = true;
  const test::Observation run = observe();
  EXPECT_TRUE(run.threw());
  EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 55);
  EXPECT_EQ(run.count("pg_database_size_bytes"), 0U);
}

// pg_database_size() reads directories, for minutes where there are many files: the server lives.
TEST_F(PostgresTest, TakesNoServerForDownWhoseSizesTakeTooLong) {
  size_error = error("ERROR", "57014", "canceling statement due to statement timeout");
  const auto probe = house.make("postgres", options());
  for (int i = 0; i < 2; ++i) {  // the second one does not ask, and the failure stands
    const test::Observation run = house.observe(*probe);
    EXPECT_FALSE(run.threw());
    EXPECT_TRUE(run.failure().starts_with("overload: the databases' sizes: ")) << run.failure();
    EXPECT_EQ(run.value("pg_stat_activity_count", {{"datname", "shop"}}), 55);
    EXPECT_EQ(run.count("pg_database_size_bytes"), 0U);
  }
  EXPECT_EQ(size_queries, 1);
}

TEST_F(PostgresTest, ConcealsThePasswordAlsoWhereItIsConnectedAlready) {
  const std::string with_password =
      "url: 'postgresql://monitor:hunter2@" + peer.endpoint() + "/postgres?sslmode=disable'";
  const auto probe = house.make("postgres", with_password);
  EXPECT_EQ(house.observe(*probe).failure(), "");
  query_error = error("ERROR", "XX000", "syntax error near hunter2");
  const std::string failure = house.observe(*probe).failure();
  EXPECT_TRUE(failure.contains("syntax error near ")) << failure;
  EXPECT_FALSE(failure.contains("hunter2")) << failure;
  EXPECT_EQ(peer.accepted(), 1);
}

TEST_F(PostgresTest, SaysWhyTheServerRefuses) {
  struct Case {
    std::string sqlstate, text, reason;
  };
  for (const Case& each :
       std::vector<Case>{{"28P01", "password authentication failed for user \"monitor\"", "auth"},
                         {"3D000", "database \"postgres\" does not exist", "mismatch"},
                         {"57P03", "the database system is starting up", "unready"}}) {
    refusal = error("FATAL", each.sqlstate, each.text);
    const test::Observation run = observe();
    EXPECT_EQ(run.reason(), each.reason);
    EXPECT_TRUE(run.failure().contains(each.text)) << run.failure();
    EXPECT_TRUE(run.threw());
    EXPECT_EQ(run.names().size(), 0U);
    EXPECT_EQ(run.reading("connections"), std::nullopt);
  }
}

// Nobody gets in to count, and yet it is known how full the server is.
TEST_F(PostgresTest, TakesAServerWithoutASlotForFull) {
  refusal = error("FATAL", "53300", "sorry, too many clients already");
  const test::Observation run = observe();
  EXPECT_EQ(run.reason(), "overload");
  EXPECT_EQ(run.reading("connections"), 1);
}

TEST_F(PostgresTest, SaysWhenItMayNotLook) {
  query_error = error("ERROR", "42501", "permission denied for view pg_stat_activity");
  EXPECT_EQ(observe().reason(), "permission");
}

TEST_F(PostgresTest, RefusesAnAnswerThatLacksResults) {
  lacks_results = true;
  EXPECT_EQ(observe().failure(), "protocol: the answer lacks results");
}

TEST_F(PostgresTest, RefusesServersThatAreTooOld) {
  version = "9.6.24";
  EXPECT_EQ(observe().failure(), "config: PostgreSQL before 10 is not supported");
  EXPECT_EQ(queries, 0);
  version = "10.0";
  EXPECT_EQ(observe().failure(), "");
}

TEST_F(PostgresTest, SaysWhereNobodyListens) {
  const test::ClosedPort nobody;
  const test::Observation run = house.observe(
      "postgres", "url: 'postgresql://monitor@" + nobody.endpoint() + "?sslmode=disable'");
  EXPECT_EQ(run.reason(), "connect");
  EXPECT_EQ(run.reading("connections"), std::nullopt);
}

TEST_F(PostgresTest, HandsItsConnectionToTheSameUserOnly) {
  const auto first = house.make("postgres", options());
  house.observe(*first);
  const auto same = house.make("postgres", options(", size_interval: 1h"));
  same->inherit(*first);
  house.observe(*same);
  EXPECT_EQ(peer.accepted(), 1);
  const auto other = house.make(
      "postgres", "url: 'postgresql://admin@" + peer.endpoint() + "/postgres?sslmode=disable'");
  other->inherit(*same);
  house.observe(*other);
  EXPECT_EQ(peer.accepted(), 2);
}

// It was made while another server could have been trusted, or with a password that is none now.
TEST_F(PostgresTest, HandsNoConnectionToOtherTerms) {
  const auto first = house.make("postgres", options());
  house.observe(*first);
  int connections = 1;
  for (const char* term : {", channel_binding: disable", ", allow_cleartext_password: true",
                           ", password: {env: VITALSD_TEST_NONE}"}) {
    const auto next = house.make("postgres", options(term));
    next->inherit(*first);
    house.observe(*next);
    connections += std::string_view(term).contains("env") ? 0 : 1;  // that one cannot be read
    EXPECT_EQ(peer.accepted(), connections) << term;
  }
}

TEST_F(PostgresTest, ConnectsToAnIpv6Literal) {
  if (!test::has_ipv6()) GTEST_SKIP() << "there is no ::1";
  const test::Conversation other(
      house.loop, [this](test::Line& line) { return serve(line); },
      asio::ip::address_v6::loopback());
  const auto probe = house.make(
      "postgres", "url: 'postgresql://monitor@" + other.endpoint() + "?sslmode=disable'");
  EXPECT_EQ(house.observe(*probe).failure(), "");
  EXPECT_EQ(probe->target(), other.endpoint() + "/monitor");  // libpq's default
}

}  // namespace
}  // namespace vitalsd
