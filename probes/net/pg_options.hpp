// The options of a PostgreSQL connection and the parameters that are passed to libpq.
#pragma once

#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/tls.hpp"

#include <array>
#include <cstddef>
#include <string>

namespace vitalsd::net {

struct PgOptions {
  config::Endpoint endpoint;  ///< the host may be the directory of a Unix socket
  IpVersion ip = IpVersion::any;
  std::string database;
  std::string user;
  config::Secret password;
  std::string sslmode = "prefer";          ///< libpq's value
  std::string channel_binding = "prefer";  ///< libpq's value
  /// Send the password unencrypted to a server on another machine.
  bool allow_cleartext_password = false;
  TlsOptions tls;  ///< CA, client certificate and server name; sslmode replaces `verify`
  bool operator==(const PgOptions&) const = default;
};

/// The arguments of PQconnectStartParams(). They replace everything that libpq would read from
/// files in the home directory.
class PgParameters {
 public:
  /// Adds one host entry for each address: libpq tries the next one when one fails. `options` and
  /// `password` must outlive the object. `options` must have a CA file if sslmode verifies.
  PgParameters(const PgOptions& options, const std::string& password, const Addresses& addresses);
  PgParameters(const PgParameters&) = delete;
  PgParameters& operator=(const PgParameters&) = delete;

  /// Both end with a null pointer.
  [[nodiscard]] const char* const* keywords() const { return keywords_.data(); }
  [[nodiscard]] const char* const* values() const { return values_.data(); }

 private:
  static constexpr std::size_t kCount = 18;

  std::string hosts_;
  std::string hostaddrs_;
  std::string port_;
  std::array<const char*, kCount> keywords_{};
  std::array<const char*, kCount> values_{};
};

/// The path of the Unix socket for an endpoint whose host is the directory of the socket.
std::string pg_socket(const config::Endpoint& endpoint);

/// Removes the environment variables that libpq would use in addition to the parameters, such as
/// PGOPTIONS. Must be called before any thread starts. PGPASSWORD stays, because a secret may be
/// configured as this variable.
void ignore_pg_environment();

}  // namespace vitalsd::net
