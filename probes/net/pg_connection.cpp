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
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <utility>

#include <libpq-fe.h>
#include <poll.h>

namespace vitalsd::net {
namespace {

using Descriptor = PgSession::Descriptor;

// Of one response: more than any query of a probe returns.
constexpr std::size_t kMaxBytes = std::size_t{16} << 20;
constexpr int kMaxRows = 20'000;  // of one statement
// CPU time that libpq may use to parse one response. For each parameter that a server reports,
// libpq searches its whole list of parameters.
constexpr std::chrono::milliseconds kMaxParsing{100};

}  // namespace

PgConnection::PgConnection(std::unique_ptr<PgSession> session) : session_(std::move(session)) {}
PgConnection::~PgConnection() = default;
PgConnection::PgConnection(PgConnection&&) noexcept = default;
PgConnection& PgConnection::operator=(PgConnection&&) noexcept = default;

asio::awaitable<PgConnection> PgConnection::open(const Environment& environment,
                                                 const PgOptions& options, SampleSet& out) {
  const std::string password = co_await environment.files.read(options.password);
  out.conceal(password);
  out.doing("resolving " + options.endpoint.host);
  Addresses addresses;  // none of a Unix socket
  if (!is_unix(options.endpoint.host)) {
    addresses = co_await environment.resolver.resolve(options.endpoint.host, options.ip);
  }
  out.doing("connecting to " + options.endpoint.text());
  if (addresses.size() > 1) {
    // libpq waits for an address without a limit before it tries the next one, so it starts with
    // one that accepts connections.
    const asio::ip::tcp::socket socket =
        co_await connect(environment.loop, environment.wheel, addresses, options.endpoint.port);
    boost::system::error_code error;
    const auto peer = socket.remote_endpoint(error);
    const auto winner = std::ranges::find(addresses, peer.address());
    if (!error && winner != addresses.end()) std::rotate(addresses.begin(), winner, winner + 1);
  }
  std::unique_ptr<PgSession> session =
      co_await pg_log_in(environment, options, password, addresses);
  co_return PgConnection(std::move(session));
}

asio::awaitable<std::vector<PgResult>> PgConnection::query(std::string_view statements,
                                                           std::chrono::milliseconds limit) {
  // The settings are a message of their own: a server starts the statement timer at the beginning
  // of a message.
  std::string settings =
      "BEGIN READ ONLY; SET LOCAL statement_timeout = " + std::to_string(limit.count()) +
      "; SET LOCAL search_path = pg_catalog";
  // A SQL_ASCII server stores names in any encoding and rejects those that are invalid in the
  // client's encoding.
  const char* const encoding = PQparameterStatus(session_->connection.get(), "server_encoding");
  if (encoding != nullptr && std::string_view(encoding) == "SQL_ASCII") {
    settings += "; SET LOCAL client_encoding = 'SQL_ASCII'";
  }
  co_await send(settings);
  std::vector<PgResult> results = co_await send(std::string(statements) + "; COMMIT");
  if (results.empty()) throw ProbeError(Reason::protocol, "the response lacks results");
  results.pop_back();  // of COMMIT
  co_return results;
}

asio::awaitable<std::vector<PgResult>> PgConnection::send(const std::string& message) {
  PGconn* const connection = session_->connection.get();
  const auto connect_error = [&] {
    return ProbeError(Reason::connect, pg_error_text(PQerrorMessage(connection)));
  };
  if (PQsendQuery(connection, message.c_str()) != 1) throw connect_error();
  for (int unsent = PQflush(connection); unsent != 0; unsent = PQflush(connection)) {
    if (unsent < 0) throw connect_error();
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
      if (PQconsumeInput(connection) != 1) throw connect_error();
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
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK) {
      const char* sqlstate = PQresultErrorField(raw, PG_DIAG_SQLSTATE);
      throw ProbeError(sqlstate == nullptr ? Reason::protocol : pg_reason(sqlstate),
                       pg_error_text(PQresultErrorMessage(raw)));
    }
    if (result.rows() > kMaxRows) {
      throw ProbeError(Reason::protocol, "the response has more than " + std::to_string(kMaxRows) +
                                             " rows for one statement");
    }
    results.push_back(std::move(result));
  }
}

void PgConnection::conceal_secrets(SampleSet& out) const { out.conceal(session_->password); }

int PgConnection::server_version() const { return PQserverVersion(session_->connection.get()); }

bool PgConnection::hung_up() const {
  // A server sends an error to an idle connection before it closes it, or just closes it. Both make
  // the socket readable.
  PGconn* const connection = session_->connection.get();
  pollfd idle{PQsocket(connection), POLLIN, 0};
  return PQstatus(connection) != CONNECTION_OK || poll(&idle, 1, 0) != 0;
}

}  // namespace vitalsd::net
