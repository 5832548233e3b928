#include "probes/net/pg_connection.hpp"

#include "probes/error.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/cpu_time.hpp"
#include "probes/net/pg_errors.hpp"
#include "probes/net/pg_login.hpp"
#include "probes/net/pg_session.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/tcp.hpp"
#include "probes/net/unix_socket.hpp"

#include <algorithm>
#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <optional>
#include <utility>

#include <libpq-fe.h>
#include <poll.h>

namespace vitalsd::net {
namespace {

using Descriptor = PgSession::Descriptor;

// The maximum size of a response. No query of a probe returns more.
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr int kMaxRows = 20'000;  // of one statement
// The CPU time that libpq may use to parse one response. libpq searches its whole list of
// parameters for each parameter that a server reports.
constexpr std::chrono::milliseconds kMaxParsing{100};

ProbeError connect_error(PGconn* connection) {
  return {Reason::connect, pg_error_text(PQerrorMessage(connection))};
}

std::string error_field(const PGresult* result, int field) {
  const char* const text = PQresultErrorField(result, field);
  return text == nullptr ? std::string() : pg_error_text(text);
}

// Whether the server refused a statement; after a fatal error it closes the connection.
bool is_error(const PGresult* result) {
  return error_field(result, PG_DIAG_SEVERITY_NONLOCALIZED) == "ERROR";
}

// Leaves out the lines that libpq adds, which quote the statement.
PgRefusal read_refusal(const PGresult* result) {
  PgRefusal refusal{.sqlstate = error_field(result, PG_DIAG_SQLSTATE),
                    .text = error_field(result, PG_DIAG_SEVERITY) + ": " +
                            error_field(result, PG_DIAG_MESSAGE_PRIMARY)};
  const std::string hint = error_field(result, PG_DIAG_MESSAGE_HINT);
  if (!hint.empty()) refusal.text += " (" + hint + ')';
  const std::string position = error_field(result, PG_DIAG_STATEMENT_POSITION);
  std::from_chars(position.data(), position.data() + position.size(), refusal.position);
  return refusal;
}

}  // namespace

PgConnection::PgConnection(std::unique_ptr<PgSession> session) : session_(std::move(session)) {}
PgConnection::~PgConnection() = default;
PgConnection::PgConnection(PgConnection&&) noexcept = default;
PgConnection& PgConnection::operator=(PgConnection&&) noexcept = default;

asio::awaitable<PgConnection> PgConnection::open(const Environment& environment,
                                                 const PgOptions& options, SampleSet& out) {
  const std::string password = co_await environment.files.read(options.password, out);
  out.doing("resolving " + options.endpoint.host);
  Addresses addresses;  // empty for a Unix socket
  if (!is_unix(options.endpoint.host)) {
    addresses = co_await environment.resolver.resolve(options.endpoint.host, options.ip);
  }
  out.doing("connecting to " + options.endpoint.text());
  if (addresses.size() > 1) {
    // libpq waits for an address without a limit before it tries the next one. It therefore gets an
    // address that accepts connections.
    const asio::ip::tcp::socket socket =
        co_await connect(environment.loop, environment.wheel, addresses, options.endpoint.port);
    boost::system::error_code error;
    const auto peer = socket.remote_endpoint(error);
    const auto winner = std::ranges::find(addresses, peer.address());
    if (!error && winner != addresses.end()) std::rotate(addresses.begin(), winner, winner + 1);
  }
  std::unique_ptr<PgSession> session =
      co_await pg_log_in(environment, options, password, addresses, out);
  co_return PgConnection(std::move(session));
}

asio::awaitable<std::vector<PgResult>> PgConnection::query(std::string_view statements,
                                                           std::chrono::milliseconds limit) {
  // The settings are sent as a separate message, because a server starts the statement timer at the
  // beginning of a message.
  const std::string settings = begin(limit, "pg_catalog");
  co_await send(settings);
  std::vector<PgResult> results = co_await send(std::string(statements) + "; COMMIT");
  if (results.empty()) throw ProbeError(Reason::protocol, "results are missing from the response");
  results.pop_back();  // of COMMIT
  co_return results;
}

std::string PgConnection::begin(std::chrono::milliseconds limit,
                                std::string_view search_path) const {
  std::string settings =
      "BEGIN READ ONLY; SET LOCAL statement_timeout = " + std::to_string(limit.count()) +
      "; SET LOCAL search_path = " + std::string(search_path);
  // A server with the encoding SQL_ASCII stores names in any encoding, and rejects those that are
  // invalid in the client's encoding.
  const char* const encoding = PQparameterStatus(session_->connection.get(), "server_encoding");
  if (encoding != nullptr && std::string_view(encoding) == "SQL_ASCII") {
    settings += "; SET LOCAL client_encoding = 'SQL_ASCII'";
  }
  return settings;
}

asio::awaitable<std::expected<PgResult, PgRefusal>> PgConnection::ask(
    const std::string& statement, std::chrono::milliseconds limit,
    std::chrono::milliseconds lock_limit, std::string_view search_path) {
  PGconn* const connection = session_->connection.get();
  const std::string settings = begin(limit, search_path) +
                               "; SET LOCAL lock_timeout = " + std::to_string(lock_limit.count()) +
                               "; SAVEPOINT vitalsd";
  co_await send(settings);
  // The extended protocol permits one statement only, so none can follow a COMMIT.
  if (PQsendQueryParams(connection, statement.c_str(), 0, nullptr, nullptr, nullptr, nullptr, 0) !=
      1) {
    throw connect_error(connection);
  }
  std::optional<PgRefusal> refusal;
  std::vector<PgResult> results = co_await receive(&refusal);
  // Only the savepoint is rolled back: a transaction that is rolled back would count in
  // xact_rollback.
  const std::string end = "ROLLBACK TO SAVEPOINT vitalsd; COMMIT";
  co_await send(end);
  if (refusal) co_return std::unexpected(std::move(*refusal));
  if (results.size() != 1)
    throw ProbeError(Reason::protocol, "the result is missing from the response");
  co_return std::move(results.front());
}

asio::awaitable<std::vector<PgResult>> PgConnection::send(const std::string& message) {
  PGconn* const connection = session_->connection.get();
  if (PQsendQuery(connection, message.c_str()) != 1) throw connect_error(connection);
  co_return co_await receive(nullptr);
}

// Sends the queued messages and receives all results. If `refusal` is not null, an error of the
// server is stored there, and the rest of the response is read.
asio::awaitable<std::vector<PgResult>> PgConnection::receive(std::optional<PgRefusal>* refusal) {
  PGconn* const connection = session_->connection.get();
  for (int unsent = PQflush(connection); unsent != 0; unsent = PQflush(connection)) {
    if (unsent < 0) throw connect_error(connection);
    co_await session_->wait(Descriptor::wait_write);
  }
  std::vector<PgResult> results;
  const std::uint64_t received_before = session_->received();
  std::chrono::nanoseconds parsing{};
  for (;;) {
    while (PQisBusy(connection) != 0) {
      co_await session_->wait(Descriptor::wait_read);
      if (session_->received() - received_before > kMaxBytes) {
        throw ProbeError(Reason::protocol,
                         "the response is larger than " + std::to_string(kMaxBytes) + " bytes");
      }
      const auto start = thread_cpu_time();
      const std::size_t unread = session_->unread();
      if (PQconsumeInput(connection) != 1) throw connect_error(connection);
      session_->has_read(unread);
      PQisBusy(connection);  // parses the input
      parsing += thread_cpu_time() - start;
      if (parsing > kMaxParsing) {
        throw ProbeError(Reason::protocol, "the response takes too long to parse");
      }
    }
    PGresult* const raw = PQgetResult(connection);
    if (raw == nullptr) co_return results;
    PgResult result(raw);
    const ExecStatusType status = PQresultStatus(raw);
    if (refusal != nullptr && is_error(raw)) {
      *refusal = read_refusal(raw);
      continue;
    }
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      const char* sqlstate = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
      // Empty for the results of COPY.
      const std::string text = pg_error_text(PQresultErrorMessage(raw));
      throw ProbeError(sqlstate == nullptr ? Reason::protocol : pg_reason(sqlstate),
                       text.empty() ? "the statement does not return rows" : text);
    }
    if (result.rows() > kMaxRows) {
      throw ProbeError(Reason::protocol, "the response has more than " + std::to_string(kMaxRows) +
                                             " rows for one statement");
    }
    results.push_back(std::move(result));
  }
}

void PgConnection::conceal_secrets(SampleSet& out) const { out.conceal(session_->password); }

std::string PgConnection::user() const {
  const char* const user = PQuser(session_->connection.get());
  return user == nullptr ? std::string() : user;
}

int PgConnection::server_version() const { return PQserverVersion(session_->connection.get()); }

bool PgConnection::hung_up() const {
  // Before a server closes an idle connection, it may send an error. Both events make the socket
  // readable.
  PGconn* const connection = session_->connection.get();
  pollfd idle{PQsocket(connection), POLLIN, 0};
  return PQstatus(connection) != CONNECTION_OK || poll(&idle, 1, 0) != 0;
}

}  // namespace vitalsd::net
