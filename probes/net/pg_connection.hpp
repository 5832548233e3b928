// A connection to a PostgreSQL server: libpq's asynchronous interface on the probe loop. Names are
// resolved by net::Resolver, not by libpq. After any error the connection must be closed. Probe
// loop only.
#pragma once

#include "probes/net/pg_options.hpp"
#include "probes/net/pg_result.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstddef>
#include <expected>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

struct PgSession;

/// The error of a server that refused one statement.
struct PgRefusal {
  std::string sqlstate;
  std::string text;          ///< on one line: severity, message and hint
  std::size_t position = 0;  ///< in the statement, in characters from 1; 0: unknown
};

class PgConnection {
 public:
  /// Connects and authenticates. Throws ProbeError, see pg_login_error().
  static asio::awaitable<PgConnection> open(const Environment& environment,
                                            const PgOptions& options, SampleSet& out);
  ~PgConnection();
  PgConnection(PgConnection&&) noexcept;
  PgConnection& operator=(PgConnection&&) noexcept;

  /// Runs statements, separated by semicolons, in one read-only transaction with pg_catalog as the
  /// only schema in the search path. The server cancels the transaction after `limit`. Returns one
  /// result for each statement. No setting remains after the transaction, because a pooler may give
  /// the session to another client. Throws ProbeError, see pg_reason().
  asio::awaitable<std::vector<PgResult>> query(std::string_view statements,
                                               std::chrono::milliseconds limit);

  /// Runs one statement, such as one that vitalsd did not write, in a read-only transaction. The
  /// server cancels it after `limit`, and after `lock_limit` if it waits
  /// for a lock. A savepoint reverts every setting that the statement changes. Several statements
  /// are refused. After a refusal the connection can still be used. Throws ProbeError if the
  /// connection is lost, or if the statement ends the transaction.
  asio::awaitable<std::expected<PgResult, PgRefusal>> ask(const std::string& statement,
                                                          std::chrono::milliseconds limit,
                                                          std::chrono::milliseconds lock_limit,
                                                          std::string_view search_path);

  /// For a run that uses a connection opened by an earlier run.
  void conceal_secrets(SampleSet& out) const;

  [[nodiscard]] std::string user() const;
  /// 150004 for 15.4.
  [[nodiscard]] int server_version() const;
  /// Whether the server has closed this idle connection, or has sent data without a query.
  [[nodiscard]] bool hung_up() const;

 private:
  [[nodiscard]] std::string begin(std::chrono::milliseconds limit,
                                  std::string_view search_path) const;
  asio::awaitable<std::vector<PgResult>> send(const std::string& message);
  asio::awaitable<std::vector<PgResult>> receive(std::optional<PgRefusal>* refusal);
  explicit PgConnection(std::unique_ptr<PgSession> session);
  std::unique_ptr<PgSession> session_;
};

}  // namespace vitalsd::net
