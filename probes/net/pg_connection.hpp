// A connection to a PostgreSQL server: libpq's asynchronous interface on the probe loop. libpq gets
// addresses that we resolved, and everything that it would otherwise take from files in the home
// directory. While it connects it may compute and read for as long as the server likes, so each
// step of that is done on a thread (Environment::connecting). A connection on which anything went
// wrong is to be dropped. Probe loop only.
#pragma once

#include "config/secret.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

struct PgOptions {
  config::Endpoint endpoint;
  std::string database;
  std::string user;
  config::Secret password;
  std::string sslmode = "prefer";          ///< as libpq has it
  std::string channel_binding = "prefer";  ///< as libpq has it
  bool allow_cleartext_password = false;   ///< unencrypted, to a server that is not on this machine
  TlsOptions tls;                          ///< CA and client certificate; the rest says sslmode
  bool operator==(const PgOptions&) const = default;
};

/// The rows of one statement.
class PgResult {
 public:
  /// Takes over a PGresult.
  explicit PgResult(void* result);
  ~PgResult();
  PgResult(PgResult&& other) noexcept;
  PgResult& operator=(PgResult&& other) noexcept;

  [[nodiscard]] int rows() const;
  /// In the order of the columns; valid as long as the result.
  [[nodiscard]] std::vector<std::string_view> column_names() const;
  /// Empty for NULL.
  [[nodiscard]] std::string_view text(int row, int column) const;
  /// Nothing for NULL and for what is no number.
  [[nodiscard]] std::optional<double> number(int row, int column) const;
  [[nodiscard]] bool is_true(int row, int column) const { return text(row, column) == "t"; }

 private:
  void* result_;
};

class PgConnection {
 public:
  /// Connects and authenticates. Throws ProbeError, see pg_reason().
  static asio::awaitable<PgConnection> open(const Environment& environment,
                                            const PgOptions& options, SampleSet& out);
  ~PgConnection();
  PgConnection(PgConnection&&) noexcept;
  PgConnection& operator=(PgConnection&&) noexcept;

  /// Runs statements separated by semicolons in a transaction of their own, which is read only,
  /// finds no names but pg_catalog's, and which the server ends after `limit`; one result each.
  /// Nothing of it stays with the session, which a pooler shares among its clients. Throws
  /// ProbeError.
  asio::awaitable<std::vector<PgResult>> query(std::string_view statements,
                                               std::chrono::milliseconds limit);

  /// For a run that has not opened the connection itself.
  void conceal_secrets(SampleSet& out) const;

  /// 150004 for 15.4.
  [[nodiscard]] int server_version() const;
  [[nodiscard]] bool hung_up() const;

 private:
  struct State;
  asio::awaitable<std::vector<PgResult>> send(const std::string& message);
  explicit PgConnection(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// Takes out of the environment what libpq would read there beside our settings (PGOPTIONS and its
/// like). Before any thread is started. PGPASSWORD stays: it is a fine name for a secret.
void ignore_pg_environment();

/// What an SQLSTATE means for us.
Reason pg_reason(std::string_view sqlstate);

/// The SQLSTATE in libpq's verbose text of a failed connection, empty where there is none: libpq 15
/// gives no other access to it.
std::string_view pg_sqlstate(std::string_view message);

}  // namespace vitalsd::net
