// Kind `postgres`: connections, databases, locks, replication and archiving of one server, from one
// round trip a run on a connection that is kept. Names are postgres_exporter's where it has one and
// the documented rules do not ask for something else.
#include "probes/net/options.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

constexpr std::string_view kRule4 =
    "HighDatabaseConnections divides a series of this name by pg_settings_max_connections";
constexpr std::string_view kExporter = "the name that postgres_exporter gives it";

constexpr Metric kUp({.name = "pg_up",
                      .help = "Whether the server lives (1), full or not, or not (0)."});
// Both sides of the documented ratio carry the same labels, so that they match.
constexpr Metric kActivity({.name = "pg_stat_activity_count",
                            .help = "Client connections to a database, ours left out.",
                            .waiver = kRule4},
                           "datname");
constexpr Metric kMaxConnections(
    {.name = "pg_settings_max_connections",
     .help = "The server's max_connections, repeated for each database."},
    "datname");
constexpr Metric kConnections({.name = "pg_stat_activity_connections",
                               .help = "Client connections to a database by state, ours left out."},
                              "datname", "state");
constexpr Metric kLongestTransaction(
    {.name = "pg_stat_activity_max_tx_duration",
     .help = "Age in seconds of the oldest open transaction of a database by "
             "state of its connection."},
    "datname", "state");
constexpr Metric kReservedSuperuser({.name = "pg_settings_superuser_reserved_connections",
                                     .help = "Connections that are kept for superusers."});
constexpr Metric kReserved({.name = "pg_settings_reserved_connections",
                            .help = "Connections that are kept for roles with "
                                    "pg_use_reserved_connections."});
constexpr Metric kIncomplete({.name = "pg_monitoring_incomplete",
                              .help = "Whether something is missing here because our role lacks "
                                      "pg_monitor (1) or nothing is (0)."},
                             "reason");
constexpr Metric kSize({.name = "pg_database_size_bytes",
                        .unit = Unit::bytes,
                        .help = "Disk space that a database uses."},
                       "datname");
constexpr Metric kCommits({.name = "pg_stat_database_xact_commit",
                           .type = Type::counter,
                           .help = "Transactions that were committed in a database.",
                           .waiver = kExporter},
                          "datname");
constexpr Metric kRollbacks({.name = "pg_stat_database_xact_rollback",
                             .type = Type::counter,
                             .help = "Transactions that were rolled back in a database.",
                             .waiver = kExporter},
                            "datname");
constexpr Metric kBlocksRead({.name = "pg_stat_database_blks_read",
                              .type = Type::counter,
                              .help = "Blocks that were read from disk for a database.",
                              .waiver = kExporter},
                             "datname");
constexpr Metric kBlocksHit({.name = "pg_stat_database_blks_hit",
                             .type = Type::counter,
                             .help = "Blocks of a database that were found in the cache.",
                             .waiver = kExporter},
                            "datname");
constexpr Metric kDeadlocks({.name = "pg_stat_database_deadlocks",
                             .type = Type::counter,
                             .help = "Deadlocks that were found in a database.",
                             .waiver = kExporter},
                            "datname");
constexpr Metric kConflicts({.name = "pg_stat_database_conflicts",
                             .type = Type::counter,
                             .help = "Queries of a standby that were cancelled by recovery.",
                             .waiver = kExporter},
                            "datname");
constexpr Metric kTempBytes({.name = "pg_stat_database_temp_bytes",
                             .type = Type::counter,
                             .unit = Unit::bytes,
                             .help = "Bytes that queries of a database wrote to temporary files.",
                             .waiver = kExporter},
                            "datname");
constexpr Metric kLocks({.name = "pg_locks_count",
                         .help = "Locks held or awaited in a database, by mode.",
                         .waiver = kExporter},
                        "datname", "mode");
constexpr Metric kLocksWaiting({.name = "pg_locks_waiting", .help = "Locks awaited in a database."},
                               "datname");
constexpr Metric kIsReplica({.name = "pg_replication_is_replica",
                             .help = "Whether the server is in recovery, as a standby is."});
constexpr Metric kReplayLag(
    {.name = "pg_replication_lag_seconds",
     .unit = Unit::seconds,
     .help = "On a standby that has not replayed all it received, or receives nothing: age of the "
             "last transaction that it replayed, else 0."});
constexpr Metric kReceiving({.name = "pg_stat_wal_receiver_streaming",
                             .help = "On a standby: whether it receives WAL from its primary."});
constexpr Metric kReceiverHeard({.name = "pg_stat_wal_receiver_last_msg_receipt_timestamp_seconds",
                                 .unit = Unit::seconds,
                                 .help = "On a standby that receives WAL: when the primary last "
                                         "sent a message, in Unix time."});
constexpr Metric kStandbyLag(
    {.name = "pg_stat_replication_pg_wal_lsn_diff",
     .help = "Bytes of WAL that a connected standby has not replayed yet, the "
             "slowest of those of one name and address."},
    "application_name", "client_addr");
constexpr Metric kStandbys({.name = "pg_stat_replication_standbys",
                            .help = "Standbys that are connected."});
constexpr Metric kArchived({.name = "pg_stat_archiver_archived_count",
                            .type = Type::counter,
                            .help = "WAL files that were archived.",
                            .waiver = kExporter});
constexpr Metric kArchiveFailures({.name = "pg_stat_archiver_failed_count",
                                   .type = Type::counter,
                                   .help = "Attempts to archive a WAL file that failed.",
                                   .waiver = kExporter});
constexpr Metric kLastArchived({.name = "pg_stat_archiver_last_archived_timestamp_seconds",
                                .unit = Unit::seconds,
                                .help = "When a WAL file was last archived, in Unix time.",
                                .keep = Keep::fact});
constexpr Metric kStarted({.name = "pg_postmaster_start_time_seconds",
                           .unit = Unit::seconds,
                           .help = "When the server started, in Unix time."});
constexpr Metric kVersion({.name = "pg_static", .help = "Always 1; the labels tell the version."},
                          "short_version", "version");

constexpr Check kConnectionsCheck{.name = "connections",
                                  .unit = Unit::ratio,
                                  .warn = 0.80,
                                  .critical = 0.90,
                                  .help = "client connections over max_connections"};

constexpr int kOldestVersion = 100000;  // 10: backend_type, pg_monitor, the names of WAL functions

// Statements and their columns, in the order in which add() reads them. Databases are those that
// take connections and are no templates.
constexpr std::string_view kStatements = R"sql(
SELECT current_setting('max_connections'), current_setting('superuser_reserved_connections'),
       current_setting('reserved_connections', true), pg_has_role('pg_read_all_stats', 'USAGE'),
       pg_is_in_recovery(), extract(epoch FROM pg_postmaster_start_time()),
       CASE WHEN NOT pg_is_in_recovery() THEN NULL
            WHEN pg_last_wal_receive_lsn() = pg_last_wal_replay_lsn()
                 AND EXISTS (SELECT FROM pg_stat_wal_receiver
                             WHERE coalesce(status, 'streaming') = 'streaming') THEN 0
            ELSE extract(epoch FROM now() - pg_last_xact_replay_timestamp()) END,
       current_setting('server_version'), version(),
       (SELECT extract(epoch FROM last_msg_receipt_time) FROM pg_stat_wal_receiver),
       CASE WHEN pg_is_in_recovery() THEN
         (SELECT count(*) FROM pg_stat_wal_receiver
          WHERE coalesce(status, 'streaming') = 'streaming') END;
SELECT d.datname, s.numbackends, s.xact_commit, s.xact_rollback, s.blks_read, s.blks_hit,
       s.deadlocks, s.conflicts, s.temp_bytes, d.datname = current_database()
FROM pg_database d LEFT JOIN pg_stat_database s ON s.datid = d.oid
WHERE d.datallowconn AND NOT d.datistemplate;
SELECT datname, coalesce(state, 'unknown'), count(*),
       max(extract(epoch FROM clock_timestamp() - xact_start))
FROM pg_stat_activity
WHERE backend_type = 'client backend' AND pid <> pg_backend_pid() AND datname IS NOT NULL
GROUP BY 1, 2;
SELECT d.datname, l.mode, count(*), count(*) FILTER (WHERE NOT l.granted)
FROM pg_locks l JOIN pg_database d ON d.oid = l.database
WHERE l.pid <> pg_backend_pid() GROUP BY 1, 2;
SELECT application_name, coalesce(host(client_addr), 'local'),
       max(CASE WHEN pg_is_in_recovery() THEN pg_wal_lsn_diff(pg_last_wal_receive_lsn(), replay_lsn)
                ELSE pg_wal_lsn_diff(pg_current_wal_lsn(), replay_lsn) END), count(*)
FROM pg_stat_replication GROUP BY 1, 2;
SELECT archived_count, failed_count, extract(epoch FROM last_archived_time) FROM pg_stat_archiver
)sql";

constexpr std::string_view kSizeStatement = R"sql(
SELECT datname, pg_database_size(oid) FROM pg_database
WHERE datallowconn AND NOT datistemplate
  AND (has_database_privilege(oid, 'CONNECT') OR pg_has_role('pg_read_all_stats', 'USAGE'))
)sql";

// "a=1&b=2" -> the value of `name`, decoded parts being of no use here.
std::string take_parameter(config::Node& options, std::string_view query, std::string_view name) {
  std::string found;
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(item.size() + 1, query.size()));
    const std::size_t equals = std::min(item.find('='), item.size());
    if (item.substr(0, equals) == name) {
      found = item.substr(std::min(equals + 1, item.size()));
    } else {
      options.error("url", "the parameter " + config::quoted(item.substr(0, equals)) +
                               " is not supported: there is sslmode");
    }
  }
  return found;
}

net::PgOptions read_options(config::Node& options) {
  constexpr std::uint16_t kDefaultPort = 5432;
  net::PgOptions pg;
  const auto url =
      options.required<config::Url>("url", "postgresql://USER@HOST:PORT/DATABASE?sslmode=MODE");
  pg.password = net::read_password(options, url);
  pg.tls = net::TlsOptions::read(options);
  pg.allow_cleartext_password =
      options.get<bool>("allow_cleartext_password", false,
                        "answer a server elsewhere that asks for the password unencrypted");
  pg.channel_binding = options.choice(
      "channel_binding", {"prefer", "disable", "require"},
      "require: no server but one that knows the password, by SCRAM over TLS, is answered");
  if (url.host.empty()) return pg;  // reported already
  if (url.scheme != "postgresql" && url.scheme != "postgres") {
    options.error("url", "the scheme is postgresql, not " + config::quoted(url.scheme));
  }
  if (url.user.empty()) options.error("url", "names no user: postgresql://USER@...");
  pg.endpoint = {url.host, url.port == 0 ? kDefaultPort : url.port};
  pg.user = url.user;
  const std::string path = config::percent_decode(url.path);
  if (path.contains('\0')) options.error("url", "%00 is no part of a database's name");
  pg.database = path.size() > 1 ? path.substr(1) : url.user;
  const std::string mode = take_parameter(options, url.query, "sslmode");
  const std::vector<std::string_view> modes = {"disable", "allow",     "prefer",
                                               "require", "verify-ca", "verify-full"};
  if (!mode.empty() && std::ranges::find(modes, mode) == modes.end()) {
    options.error("url",
                  config::quoted(mode) + " is not an sslmode" + config::did_you_mean(mode, modes));
  }
  if (!options.has("tls")) {
    if (!mode.empty()) pg.sslmode = mode;
  } else if (!mode.empty()) {
    options.error("tls", "the URL has sslmode: say it in one place");
  } else {
    pg.sslmode = pg.tls.verify ? "verify-full" : "require";
  }
  return pg;
}

class PostgresProbe final : public Probe {
 public:
  PostgresProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        pg_(read_options(options)),
        size_interval_(options.get<config::Duration>(
            "size_interval", 5min, "from one reading of the databases' sizes to the next",
            {1s, 24h})) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto began = std::chrono::steady_clock::now();
    // Out of the member while in use: a run that ends half-way must not leave it to the next.
    std::optional<net::PgConnection> connection = std::exchange(connection_, std::nullopt);
    if (!connection || connection->hung_up()) connection = co_await connect(out);
    connection->conceal_secrets(out);
    if (connection->server_version() < kOldestVersion) {
      throw ProbeError(Reason::config, "PostgreSQL before 10 is not supported");
    }
    out.doing("waiting for the statistics");
    const std::vector<net::PgResult> results =
        co_await connection->query(kStatements, out.time_limit());
    if (results.size() != 6) throw ProbeError(Reason::protocol, "the answer lacks results");
    add(results, out);
    const auto now = std::chrono::steady_clock::now();
    bool usable = true;
    // What failed may pass, and is tried sooner.
    const config::Duration wait = size_failure_ ? std::min(size_interval_, kRetry) : size_interval_;
    if (!sized_ || now - *sized_ >= wait) {
      sized_ = now;
      usable = co_await measure(*connection, began, out);
    }
    for (const auto& [database, size] : sizes_) out.add(kSize, size, database);
    if (size_failure_) out.fail(size_failure_->reason, size_failure_->detail);
    if (usable) connection_ = std::move(connection);
  }

  [[nodiscard]] std::string target() const override {
    return pg_.endpoint.text() + '/' + pg_.database;
  }
  [[nodiscard]] std::string endpoint() const override { return pg_.endpoint.text(); }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<PostgresProbe&>(predecessor);
    // It was made under the old options, which may have trusted another server.
    if (old.pg_ == pg_) connection_ = std::move(old.connection_);
  }

 private:
  asio::awaitable<net::PgConnection> connect(SampleSet& out) {
    try {
      co_return co_await net::PgConnection::open(environment_, pg_, out);
    } catch (const ProbeError& error) {
      // No slot for us: nobody knows a better reading than "full".
      if (error.reason() == Reason::overload) out.check(kConnectionsCheck, 1.0);
      throw;
    }
  }

  static constexpr config::Duration kRetry{60'000};

  // The sizes of the databases. The server reads a directory for each, which may take longer than a
  // run has: that fails the sizes, until they are due again, and says nothing of the server.
  // Whether the connection can be used afterwards.
  asio::awaitable<bool> measure(net::PgConnection& connection,
                                std::chrono::steady_clock::time_point began, SampleSet& out) {
    out.doing("waiting for the databases' sizes");
    const auto took = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - began);
    // The server has to end it before the deadline does.
    const std::chrono::milliseconds limit = (out.time_limit() - took) * 3 / 4;
    try {
      const std::vector<net::PgResult> sizes =
          co_await connection.query(kSizeStatement, std::max(limit, std::chrono::milliseconds(1)));
      sizes_.clear();
      size_failure_.reset();
      for (int row = 0; row < sizes.at(0).rows(); ++row) {
        sizes_.emplace_back(sizes[0].text(row, 0), sizes[0].number(row, 1));
      }
      co_return true;
    } catch (const ProbeError& error) {
      if (is_up(error.reason()) == false && error.reason() != Reason::timeout) throw;
      const Reason reason = error.reason() == Reason::timeout ? Reason::overload : error.reason();
      sizes_.clear();
      size_failure_ = Failure{reason, std::string("the databases' sizes: ") + error.what()};
      co_return false;
    }
  }

  static void add(const std::vector<net::PgResult>& results, SampleSet& out) {
    const net::PgResult& server = results[0];
    const net::PgResult& databases = results[1];
    const net::PgResult& activity = results[2];
    const net::PgResult& locks = results[3];
    const net::PgResult& standbys = results[4];
    const net::PgResult& archiver = results[5];

    const std::optional<double> max = server.number(0, 0);
    const bool sees_all = server.is_true(0, 3);
    out.add(kReservedSuperuser, server.number(0, 1));
    out.add(kReserved, server.number(0, 2));
    out.add(kIncomplete, sees_all ? 0 : 1, reason_name(Reason::permission));
    out.add(kIsReplica, server.is_true(0, 4) ? 1 : 0);
    out.add(kStarted, server.number(0, 5));
    out.add(kReplayLag, server.number(0, 6));
    out.add(kReceiverHeard, server.number(0, 9));
    out.add(kReceiving, server.number(0, 10));
    out.add(kVersion, 1, server.text(0, 7), server.text(0, 8));

    const Sums sessions = sums_of(activity, 2);
    const Sums waiting = sums_of(locks, 3);
    double total = 0;
    for (int row = 0; row < databases.rows(); ++row) {
      const std::string_view name = databases.text(row, 0);
      const double connections =
          sees_all ? sum_of(sessions, name) : visible_backends(databases, row);
      total += connections;
      out.add(kActivity, connections, name);
      out.add(kMaxConnections, max, name);
      out.add(kCommits, databases.number(row, 2), name);
      out.add(kRollbacks, databases.number(row, 3), name);
      out.add(kBlocksRead, databases.number(row, 4), name);
      out.add(kBlocksHit, databases.number(row, 5), name);
      out.add(kDeadlocks, databases.number(row, 6), name);
      out.add(kConflicts, databases.number(row, 7), name);
      out.add(kTempBytes, databases.number(row, 8), name);
      out.add(kLocksWaiting, sum_of(waiting, name), name);
    }
    if (max && *max > 0) out.check(kConnectionsCheck, total / *max);
    for (int row = 0; sees_all && row < activity.rows(); ++row) {
      out.add(kConnections, activity.number(row, 2), activity.text(row, 0), activity.text(row, 1));
      out.add(kLongestTransaction, activity.number(row, 3), activity.text(row, 0),
              activity.text(row, 1));
    }
    for (int row = 0; row < locks.rows(); ++row) {
      out.add(kLocks, locks.number(row, 2), locks.text(row, 0), locks.text(row, 1));
    }
    double standby_count = 0;
    for (int row = 0; row < standbys.rows(); ++row) {
      standby_count += standbys.number(row, 3).value_or(0);
      out.add(kStandbyLag, standbys.number(row, 2), standbys.text(row, 0), standbys.text(row, 1));
    }
    out.add(kStandbys, standby_count);
    if (archiver.rows() == 1) {
      out.add(kArchived, archiver.number(0, 0));
      out.add(kArchiveFailures, archiver.number(0, 1));
      out.add(kLastArchived, archiver.number(0, 2));
    }
  }

  // Without pg_monitor the state and kind of other roles' sessions are hidden, so that counting
  // them would give next to nothing; how many there are is not. It includes our own and the few
  // workers.
  static double visible_backends(const net::PgResult& databases, int row) {
    const double all = databases.number(row, 1).value_or(0);
    return databases.is_true(row, 9) && all > 0 ? all - 1 : all;
  }

  using Sums = std::unordered_map<std::string_view, double>;
  // A column summed over the rows of the same first column.
  static Sums sums_of(const net::PgResult& rows, int column) {
    Sums sums;
    for (int row = 0; row < rows.rows(); ++row) {
      sums[rows.text(row, 0)] += rows.number(row, column).value_or(0);
    }
    return sums;
  }
  static double sum_of(const Sums& sums, std::string_view name) {
    const auto found = sums.find(name);
    return found == sums.end() ? 0 : found->second;
  }

  const Environment& environment_;
  net::PgOptions pg_;
  config::Duration size_interval_;
  std::optional<net::PgConnection> connection_;
  std::optional<std::chrono::steady_clock::time_point> sized_;
  std::vector<std::pair<std::string, std::optional<double>>> sizes_;
  std::optional<Failure> size_failure_;
};

constexpr auto kMetrics = metric_list(
    kActivity, kMaxConnections, kConnections, kLongestTransaction, kReservedSuperuser, kReserved,
    kIncomplete, kSize, kCommits, kRollbacks, kBlocksRead, kBlocksHit, kDeadlocks, kConflicts,
    kTempBytes, kLocks, kLocksWaiting, kIsReplica, kReplayLag, kReceiving, kReceiverHeard,
    kStandbyLag, kStandbys, kArchived, kArchiveFailures, kLastArchived, kStarted, kVersion);
constexpr std::array<const Check*, 1> kChecks = {&kConnectionsCheck};

}  // namespace

namespace kinds {
extern const ProbeKind postgres;
const ProbeKind postgres = {
    .name = "postgres",
    .help = "A PostgreSQL server serves; its connections, databases, locks and replication.",
    .make = make_probe<PostgresProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .up = &kUp,
    .documented_series = "up{job=\"postgres\"}",
};
}  // namespace kinds

}  // namespace vitalsd
