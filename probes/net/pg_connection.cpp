#include "probes/net/pg_connection.hpp"

#include "probes/error.hpp"
#include "probes/net/resolver.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdlib>
#include <system_error>
#include <utility>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <libpq-fe.h>
#include <poll.h>
#include <sys/ioctl.h>

namespace vitalsd::net {
namespace {

using Descriptor = asio::posix::stream_descriptor;

// A path that does not exist, for files that libpq would look for in the home directory.
constexpr const char* kNoFile = "/nonexistent";
// More than any answer to our questions; a server that sends more is not what it seems.
constexpr std::size_t kMostBytes = std::size_t{16} << 20;

bool is_sqlstate_char(char c) { return (c >= '0' && c <= '9') || (c >= 'A' && c <= 'Z'); }

// libpq's text without the server's source location, on one line.
std::string one_line(std::string_view message) {
  message = message.substr(0, message.find("\nLOCATION:"));
  std::string out;
  for (const char c : message) out += c == '\n' || c == '\t' ? ' ' : c;
  while (out.ends_with(' ')) out.pop_back();
  return out;
}

// Why libpq could not connect, where the server did not say it by an SQLSTATE.
Reason reason_of_text(std::string_view text) {
  if (text.contains("no password supplied")) return Reason::auth;
  if (text.contains("SSL") || text.contains("certificate")) return Reason::tls;
  constexpr std::array<std::string_view, 7> kNonsense = {
      "closed the connection", "expected authentication",
      "invalid response",      "protocol",
      "unexpected message",    "SCRAM",
      "server signature",  // which only somebody without the password gets wrong
  };
  const auto said = [&](std::string_view what) { return text.contains(what); };
  return std::ranges::any_of(kNonsense, said) ? Reason::protocol : Reason::connect;
}

ProbeError connect_error(std::string_view message) {
  const std::string_view sqlstate = pg_sqlstate(message);
  return {sqlstate.empty() ? reason_of_text(message) : pg_reason(sqlstate), one_line(message)};
}

}  // namespace

void ignore_pg_environment() {
  for (const char* name : {"PGAPPNAME",
                           "PGCHANNELBINDING",
                           "PGCONNECT_TIMEOUT",
                           "PGDATESTYLE",
                           "PGGEQO",
                           "PGGSSLIB",
                           "PGKRBSRVNAME",
                           "PGLOCALEDIR",
                           "PGOPTIONS",
                           "PGREQUIREPEER",
                           "PGREQUIRESSL",
                           "PGSERVICE",
                           "PGSERVICEFILE",
                           "PGSSLCOMPRESSION",
                           "PGSSLCRL",
                           "PGSSLCRLDIR",
                           "PGSSLMAXPROTOCOLVERSION",
                           "PGSSLSNI",
                           "PGSYSCONFDIR",
                           "PGTZ"}) {
    unsetenv(name);  // NOLINT(concurrency-mt-unsafe): see the declaration
  }
}

Reason pg_reason(std::string_view sqlstate) {
  struct Row {
    std::string_view prefix;
    Reason reason;
  };
  constexpr std::array kTable = {
      Row{"53300", Reason::overload},    // too_many_connections
      Row{"57P01", Reason::unready},     // admin_shutdown
      Row{"57P02", Reason::unready},     // crash_shutdown
      Row{"57P03", Reason::unready},     // cannot_connect_now: starting up, stopping, recovering
      Row{"57014", Reason::timeout},     // query_canceled: our statement_timeout
      Row{"28", Reason::auth},           // invalid authorization
      Row{"42501", Reason::permission},  // insufficient_privilege
      Row{"08", Reason::connect},        // connection exception
  };
  const auto row =
      std::ranges::find_if(kTable, [&](const Row& r) { return sqlstate.starts_with(r.prefix); });
  return row == kTable.end() ? Reason::mismatch : row->reason;
}

std::string_view pg_sqlstate(std::string_view message) {
  // "FATAL:  53300: sorry, too many clients already", the first word in the server's language.
  constexpr std::string_view kBefore = ":  ";
  constexpr std::size_t kSize = 5;
  for (std::size_t at = message.find(kBefore); at != std::string_view::npos;
       at = message.find(kBefore, at + 1)) {
    const std::string_view code = message.substr(at + kBefore.size(), kSize);
    const std::string_view after =
        message.substr(std::min(at + kBefore.size() + kSize, message.size()));
    if (code.size() == kSize && std::ranges::all_of(code, is_sqlstate_char) &&
        after.starts_with(": ")) {
      return code;
    }
  }
  return {};
}

// ---- results ------------------------------------------------------------------------------------

PgResult::PgResult(void* result) : result_(result) {}
PgResult::~PgResult() { PQclear(static_cast<PGresult*>(result_)); }
PgResult::PgResult(PgResult&& other) noexcept : result_(std::exchange(other.result_, nullptr)) {}
PgResult& PgResult::operator=(PgResult&& other) noexcept {
  std::swap(result_, other.result_);
  return *this;
}

int PgResult::rows() const { return PQntuples(static_cast<PGresult*>(result_)); }

std::string_view PgResult::text(int row, int column) const {
  const auto* result = static_cast<PGresult*>(result_);
  return {PQgetvalue(result, row, column),
          static_cast<std::size_t>(PQgetlength(result, row, column))};
}

std::optional<double> PgResult::number(int row, int column) const {
  const std::string_view value = text(row, column);
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

// ---- the connection -----------------------------------------------------------------------------

struct PgConnection::State {
  explicit State(asio::io_context& loop) : descriptor(loop) {}
  ~State() {
    // libpq closes the socket itself.
    if (descriptor.is_open()) descriptor.release();
    PQfinish(connection);
  }
  State(const State&) = delete;
  State& operator=(const State&) = delete;

  asio::awaitable<void> wait(Descriptor::wait_type what) {
    const auto [error] = co_await descriptor.async_wait(what, asio::as_tuple(asio::use_awaitable));
    if (error) fail_with(Reason::connect, "waiting for the server", error);
  }

  PGconn* connection = nullptr;
  Descriptor descriptor;
};

PgConnection::PgConnection(std::unique_ptr<State> state) : state_(std::move(state)) {}
PgConnection::~PgConnection() = default;
PgConnection::PgConnection(PgConnection&&) noexcept = default;
PgConnection& PgConnection::operator=(PgConnection&&) noexcept = default;

asio::awaitable<PgConnection> PgConnection::open(const Environment& environment,
                                                 const PgOptions& options, SampleSet& out) {
  const std::expected<std::string, std::string> password = options.password.read();
  if (!password) throw ProbeError(Reason::config, password.error());
  out.doing("resolving " + options.endpoint.host);
  const Addresses addresses = co_await environment.resolver.resolve(options.endpoint.host);
  out.doing("connecting to " + options.endpoint.text());
  // One entry an address; libpq goes on to the next when one fails. The name is for verification.
  std::string hosts;
  std::string hostaddrs;
  for (const auto& address : addresses) {
    const std::string comma = hosts.empty() ? "" : ",";
    hosts +=
        comma + (options.tls.server_name.empty() ? options.endpoint.host : options.tls.server_name);
    hostaddrs += comma + address.to_string();
  }
  const std::string port = std::to_string(options.endpoint.port);
  // With a CA file libpq verifies even for "require": it gets one only where verification is asked
  // for.
  const bool verifies = options.sslmode.starts_with("verify");
  const std::string ca = !verifies                ? kNoFile
                         : options.tls.ca.empty() ? system_ca_bundle()
                                                  : options.tls.ca;
  const bool has_certificate = !options.tls.certificate.empty();
  const std::array<std::pair<const char*, const char*>, 17> parameters = {{
      {"host", hosts.c_str()},
      {"hostaddr", hostaddrs.c_str()},
      {"port", port.c_str()},
      {"dbname", options.database.c_str()},
      {"user", options.user.c_str()},
      {"password", password->c_str()},
      {"passfile", kNoFile},
      {"application_name", "vitalsd"},
      {"client_encoding", "UTF8"},
      {"sslmode", options.sslmode.c_str()},
      {"sslrootcert", ca.c_str()},
      {"sslcert", has_certificate ? options.tls.certificate.c_str() : kNoFile},
      {"sslkey", has_certificate ? options.tls.key.c_str() : kNoFile},
      {"ssl_min_protocol_version", "TLSv1.2"},
      {"gssencmode", "disable"},
      {"target_session_attrs", "any"},
      {nullptr, nullptr},
  }};
  std::array<const char*, parameters.size()> keywords{};
  std::array<const char*, parameters.size()> values{};
  for (std::size_t i = 0; i < parameters.size(); ++i) {
    std::tie(keywords[i], values[i]) = parameters[i];
  }

  auto state = std::make_unique<State>(environment.loop);
  state->connection = PQconnectStartParams(keywords.data(), values.data(), 0);
  PGconn* const connection = state->connection;
  if (connection == nullptr) throw std::bad_alloc();
  if (PQstatus(connection) == CONNECTION_BAD) throw connect_error(PQerrorMessage(connection));
  PQsetErrorVerbosity(connection, PQERRORS_VERBOSE);
  PQsetNoticeReceiver(connection, [](void*, const PGresult*) {}, nullptr);  // else to our stderr
  for (PostgresPollingStatusType next = PGRES_POLLING_WRITING; next != PGRES_POLLING_OK;) {
    // The socket may be another one after each step, so it is lent to Asio for one wait only.
    state->descriptor.assign(PQsocket(connection));
    co_await state->wait(next == PGRES_POLLING_READING ? Descriptor::wait_read
                                                       : Descriptor::wait_write);
    state->descriptor.release();
    next = PQconnectPoll(connection);
    if (next == PGRES_POLLING_FAILED) throw connect_error(PQerrorMessage(connection));
  }
  PQsetErrorVerbosity(connection, PQERRORS_DEFAULT);
  PQsetnonblocking(connection, 1);
  state->descriptor.assign(PQsocket(connection));
  PgConnection opened(std::move(state));
  // By SET and not as a start-up option, which poolers refuse.
  co_await opened.query("SET statement_timeout = " + std::to_string(out.time_limit().count()));
  co_return opened;
}

asio::awaitable<std::vector<PgResult>> PgConnection::query(std::string statements) {
  PGconn* const connection = state_->connection;
  const auto broken = [&](Reason reason) {
    return ProbeError(reason, one_line(PQerrorMessage(connection)));
  };
  if (PQsendQuery(connection, statements.c_str()) != 1) throw broken(Reason::connect);
  for (int left = PQflush(connection); left != 0; left = PQflush(connection)) {
    if (left < 0) throw broken(Reason::connect);
    co_await state_->wait(Descriptor::wait_write);
  }
  std::vector<PgResult> results;
  std::size_t bytes = 0;
  for (;;) {
    while (PQisBusy(connection) != 0) {
      co_await state_->wait(Descriptor::wait_read);
      int waiting = 0;
      ioctl(PQsocket(connection), FIONREAD, &waiting);
      bytes += static_cast<std::size_t>(waiting);
      if (bytes > kMostBytes) {
        throw ProbeError(Reason::protocol,
                         "the answer is larger than " + std::to_string(kMostBytes) + " bytes");
      }
      if (PQconsumeInput(connection) != 1) throw broken(Reason::connect);
    }
    PGresult* const raw = PQgetResult(connection);
    if (raw == nullptr) co_return results;
    PgResult result(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      const char* sqlstate = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
      throw ProbeError(sqlstate == nullptr ? Reason::protocol : pg_reason(sqlstate),
                       one_line(PQresultErrorMessage(raw)));
    }
    results.push_back(std::move(result));
  }
}

int PgConnection::server_version() const { return PQserverVersion(state_->connection); }

bool PgConnection::hung_up() const {
  // A server says goodbye to idle connections, or just closes them: both make the socket readable.
  pollfd idle{PQsocket(state_->connection), POLLIN, 0};
  return PQstatus(state_->connection) != CONNECTION_OK || poll(&idle, 1, 0) != 0;
}

}  // namespace vitalsd::net
