// Kind `postgres`: connections, databases, locks, replication and archiving of one server. Each run
// needs one round trip on a connection that is kept between runs.
#include "config/socket_url.hpp"
#include "probes/backlog.hpp"
#include "probes/net/kept_connections.hpp"
#include "probes/net/options.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/net/unix_socket.hpp"
#include "probes/postgres/custom_queries.hpp"
#include "probes/postgres/fast_lane.hpp"
#include "probes/postgres/metrics.hpp"
#include "probes/postgres/rows.hpp"
#include "probes/postgres/slow_lane.hpp"
#include "probes/postgres/statements.hpp"
#include "probes/postgres/statistics.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

constexpr int kPerMajor = 10'000;
constexpr int kOldestVersion = 100000;  // 10: backend_type, pg_monitor, the names of WAL functions

// The host of a URL, or the directory of a Unix socket. As in libpq, a parameter replaces the part
// of the URL.
std::string read_host(config::Node& options, const config::SocketUrl& url,
                      const std::string& parameter) {
  std::string host = parameter.empty() ? url.host : parameter;
  if (host.empty()) {
    options.error("url",
                  "the URL has no host: write postgresql://USER@HOST/DATABASE, or for a "
                  "Unix socket postgresql://USER@/DATABASE?host=/DIRECTORY");
  } else if (!net::is_unix(host) && !config::is_host_name(host) && !config::is_address(host)) {
    options.error("url", config::quoted(host) + " is not a host or the path of a directory");
  }
  while (net::is_unix(host) && host.size() > 1 && host.ends_with('/')) host.pop_back();
  return host;
}

// An option that requests TLS is an error, because libpq ignores it on a Unix socket.
void check_unix(config::Node& options, net::PgOptions& pg, const std::string& mode) {
  net::check_unix(options, net::pg_socket(pg.endpoint));
  if (mode == "require" || mode.starts_with("verify")) {
    options.error("url", "a Unix socket has no TLS: remove sslmode");
  }
  if (pg.channel_binding == "require") {
    options.error("channel_binding", "a Unix socket has no TLS");
  }
  pg.sslmode = "disable";
}

bool is_this_machine(const std::string& host) {
  if (net::is_unix(host)) return true;
  boost::system::error_code not_an_address;
  const asio::ip::address address = asio::ip::make_address(host, not_an_address);
  return not_an_address ? host == "localhost" : address.is_loopback();
}

// The server chooses the authentication method during the login. In a TLS session libpq responds to
// the choice by itself, so vitalsd can only warn when it reads the configuration.
void warn_of_md5(config::Node& options, const net::PgOptions& pg) {
  if (!pg.password || pg.sslmode.starts_with("verify") || pg.channel_binding == "require") return;
  if (is_this_machine(pg.endpoint.host)) return;
  options.warning("url",
                  "the server is not verified: another machine in its place can request an md5 "
                  "hash of the password and log in with it; use sslmode=verify-full or "
                  "channel_binding: require");
}

// Combines sslmode, which the URL may set, with the section `tls`, which may name the files for it.
void combine(config::Node& options, net::PgOptions& pg, const std::string& mode) {
  const bool has_files = !pg.tls.ca.empty() || !pg.tls.certificate.empty();
  const auto contradict = [&](std::string_view why) {
    options.error("tls", "the URL sets sslmode=" + mode + ", " + std::string(why));
  };
  pg.sslmode = !mode.empty() ? mode : pg.tls.verify ? "verify-full" : "require";
  if (mode.empty()) return;
  if (mode.starts_with("verify") && !pg.tls.verify) {
    contradict("which verifies the server, but tls.verify is false: remove one of them");
  } else if (mode != "verify-full" && !pg.tls.server_name.empty()) {
    contradict("which does not verify tls.server_name: use sslmode=verify-full");
  } else if (mode == "require" && pg.tls.verify && !has_files) {
    contradict(
        "which does not verify the server, but tls.verify is true: use sslmode=verify-full, or set "
        "tls.verify: false");
  } else if (mode == "require" && pg.tls.verify && !pg.tls.ca.empty()) {
    pg.sslmode = "verify-ca";  // as in libpq
  } else if (mode == "disable" || mode == "allow" || mode == "prefer") {
    contradict("which does not require TLS: use sslmode=verify-full, or remove tls");
  }
}

net::PgOptions read_options(config::Node& options) {
  constexpr std::uint16_t kDefaultPort = 5432;
  net::PgOptions pg;
  const auto url = options.required<config::SocketUrl>(
      "url",
      "postgresql://USER@HOST:PORT/DATABASE?sslmode=MODE, or with a Unix socket "
      "postgresql://USER@/DATABASE?host=/DIRECTORY");
  pg.password = net::read_password(options, url);
  pg.tls = net::TlsOptions::read(options);
  pg.allow_cleartext_password = options.get<bool>(
      "allow_cleartext_password", false,
      "send the password unencrypted if a server on another machine requests that");
  pg.channel_binding = options.choice(
      "channel_binding", {"prefer", "disable", "require"},
      "require: authenticate only by SCRAM over TLS, with a server that knows the password");
  auto parameters =
      net::read_parameters(options, url.query, {"sslmode", "host", "port", "user", "dbname"});
  const std::string& host_parameter = parameters["host"];
  const bool has_url = !url.scheme.empty();  // otherwise the problem has been reported
  if (has_url) pg.endpoint.host = read_host(options, url, host_parameter);
  pg.ip = net::read_ip(options, "url", pg.endpoint.host);
  if (pg.endpoint.host.empty()) return pg;
  if (url.scheme != "postgresql" && url.scheme != "postgres") {
    options.error("url", "the scheme must be postgresql, not " + config::quoted(url.scheme));
  }
  pg.user = parameters["user"].empty() ? url.user : parameters["user"];
  if (pg.user.empty()) options.error("url", "the user is missing: write postgresql://USER@...");
  pg.endpoint.port = url.port == 0 ? kDefaultPort : url.port;
  if (const std::string& port = parameters["port"]; !port.empty()) {
    const auto parsed = config::parse_port(port);
    if (!parsed) options.error("url", "port must be a number between 1 and 65535");
    pg.endpoint.port = parsed.value_or(kDefaultPort);
  }
  const std::string path = config::percent_decode(url.path);
  if (path.contains('\0')) options.error("url", "%00 is not valid in a database name");
  pg.database = path.size() > 1 ? path.substr(1) : pg.user;
  if (!parameters["dbname"].empty()) pg.database = parameters["dbname"];
  const std::string& mode = parameters["sslmode"];
  const std::vector<std::string_view> modes = {"disable", "allow",     "prefer",
                                               "require", "verify-ca", "verify-full"};
  if (!mode.empty() && std::ranges::find(modes, mode) == modes.end()) {
    options.error("url", config::quoted(mode) + " is not a valid sslmode" +
                             config::did_you_mean(mode, modes));
  }
  if (net::is_unix(pg.endpoint.host)) {
    check_unix(options, pg, mode);
  } else if (options.has("tls")) {
    combine(options, pg, mode);
  } else if (!mode.empty()) {
    pg.sslmode = mode;
  }
  warn_of_md5(options, pg);
  return pg;
}

class PostgresProbe final : public Probe {
 public:
  PostgresProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        pg_(read_options(options)),
        size_interval_(options.get<config::Duration>(
            "size_interval", 5min, "time between two readings of the database sizes", {1s, 24h})),
        queries_(options, environment) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    const auto start = std::chrono::steady_clock::now();
    std::optional<net::PgConnection> connection = kept_.take();
    if (!connection || connection->hung_up()) connection = co_await connect(out);
    connection->conceal_secrets(out);
    if (connection->server_version() < kOldestVersion) {
      throw ProbeError(Reason::config, "PostgreSQL before 10 is not supported");
    }
    out.doing("waiting for the statistics");
    const int version = connection->server_version() / kPerMajor;
    const std::vector<net::PgResult> results =
        co_await connection->query(postgres::fast_statements(version), out.time_limit());
    postgres::add_statistics(results, unarchived_, out);
    std::string lacks = postgres::add_fast_lane(
        std::span(results).subspan(postgres::kStatementCount), version, out);
    if (!lacks.empty()) lacks = postgres::with_role(std::move(lacks), connection->user());
    postgres::check_permissions(lacks, out);
    if (!lacks.empty()) out.show(lacks);
    recognize(results.at(0));
    const auto now = std::chrono::steady_clock::now();
    const config::Duration wait =
        size_failure_ ? std::min(size_interval_, kRetryAfterFailure) : size_interval_;
    if (!sizes_read_at_ || now - *sizes_read_at_ >= wait) {
      sizes_read_at_ = now;
      if (!co_await read_sizes(*connection, start, out)) connection.reset();
    }
    for (const auto& [database, size] : sizes_) out.add(postgres::kSize, size, database);
    if (size_failure_) out.fail(size_failure_->reason, size_failure_->detail);
    const postgres::CustomQueries::Connect reconnect = [&] { return connect(out); };
    co_await queries_.run(connection, reconnect, start, out);
    kept_.keep(std::move(connection));
  }

  [[nodiscard]] std::string target() const override {
    return pg_.endpoint.text() + '/' + pg_.database;
  }
  [[nodiscard]] std::string endpoint() const override { return pg_.endpoint.text(); }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<PostgresProbe&>(predecessor);
    // A connection that was made with other options may be one to a server that is no longer
    // trusted.
    if (old.pg_ == pg_) kept_.keep(old.kept_.take());
    unarchived_ = old.unarchived_;
    if (old.pg_ == pg_) {
      queries_.inherit(old.queries_);
      server_ = std::move(old.server_);
      previous_server_ = std::move(old.previous_server_);
      server_changed_at_ = old.server_changed_at_;
    }
  }

 private:
  // After a failover, another server responds at the same address, or the standby became the
  // primary. Readings that are kept between runs are not its own. Two servers do not start in the
  // same microsecond. A return to the previous server within a minute is ignored, because a pooler
  // may alternate between two.
  void recognize(const net::PgResult& result) {
    const postgres::Rows rows(result);
    const postgres::Row row(rows, 0);
    std::string server(row.text("start_time"));
    server += row.is_true("in_recovery") ? " standby" : " primary";
    if (server == server_) return;
    const auto now = std::chrono::steady_clock::now();
    if (server == previous_server_ && now - server_changed_at_ < kMinReread) return;
    previous_server_ = std::exchange(server_, std::move(server));
    server_changed_at_ = now;
    sizes_read_at_.reset();
    sizes_.clear();
    size_failure_.reset();
    queries_.reset();
  }

  asio::awaitable<net::PgConnection> connect(SampleSet& out) {
    try {
      co_return co_await net::PgConnection::open(environment_, pg_, out);
    } catch (const ProbeError& error) {
      // The server has no free connection slot, so the ratio is 1.
      if (error.reason() == Reason::overload) out.check(postgres::kConnectionsCheck, 1.0);
      throw;
    }
  }

  static constexpr config::Duration kRetryAfterFailure{60'000};  // milliseconds
  static constexpr std::chrono::minutes kMinReread{1};

  // Reads the sizes of the databases. Returns whether the connection can still be used. The server
  // reads a directory for each database, which may take longer than a run. A timeout is recorded as
  // a failure of the sizes until the sizes are due again; the server still counts as up. Throws
  // ProbeError if the server is down.
  asio::awaitable<bool> read_sizes(net::PgConnection& connection,
                                   std::chrono::steady_clock::time_point start, SampleSet& out) {
    out.doing("waiting for the database sizes");
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - start);
    // The server has to cancel the statement before the run's deadline.
    const std::chrono::milliseconds limit = (out.time_limit() - elapsed) * 3 / 4;
    try {
      const std::vector<net::PgResult> results = co_await connection.query(
          postgres::kSizeStatement, std::max(limit, std::chrono::milliseconds(1)));
      sizes_.clear();
      size_failure_.reset();
      const postgres::Rows rows(results.at(0));
      for (const postgres::Row row : rows.all()) {
        sizes_.emplace_back(row.text("datname"), row.number("size"));
      }
      co_return true;
    } catch (const ProbeError& error) {
      if (is_up(error.reason()) == false && error.reason() != Reason::timeout) throw;
      const Reason reason = error.reason() == Reason::timeout ? Reason::overload : error.reason();
      sizes_.clear();
      size_failure_ = Failure{reason, std::string("database sizes: ") + error.what()};
      co_return false;
    }
  }

  const Environment& environment_;
  net::PgOptions pg_;
  config::Duration size_interval_;
  postgres::CustomQueries queries_;
  net::KeptConnection<net::PgConnection> kept_{environment_.kept};
  std::string server_;  // the one that was read, see recognize()
  std::string previous_server_;
  std::chrono::steady_clock::time_point server_changed_at_;
  Backlog unarchived_;  // WAL files
  std::optional<std::chrono::steady_clock::time_point>
      sizes_read_at_;  // or when it was last attempted
  std::vector<std::pair<std::string, std::optional<double>>> sizes_;  // bytes by database
  std::optional<Failure> size_failure_;
};

}  // namespace

namespace kinds {
extern const ProbeKind postgres;
const ProbeKind postgres = {
    .name = "postgres",
    .help = "A PostgreSQL server is up; its connections, databases, locks and replication.",
    .make = make_probe<PostgresProbe>,
    .metrics = postgres::kMetrics,
    .checks = postgres::kChecks,
    .up = &postgres::kUp,
    .documented_series = "up{job=\"postgres\"}",
};
}  // namespace kinds

}  // namespace vitalsd
