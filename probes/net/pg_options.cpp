#include "probes/net/pg_options.hpp"

#include "probes/net/unix_socket.hpp"

#include <cstdlib>
#include <tuple>
#include <utility>

namespace vitalsd::net {

PgParameters::PgParameters(const PgOptions& options, const std::string& password,
                           const Addresses& addresses) {
  // The path for files that libpq would otherwise look for in the home directory.
  constexpr const char* kNoFile = "/nonexistent";
  const TlsOptions& tls = options.tls;
  for (const auto& address : addresses) {
    const std::string comma = hosts_.empty() ? "" : ",";
    // libpq connects to the address; the name is for SNI and verification.
    hosts_ += comma + (tls.server_name.empty() ? options.endpoint.host : tls.server_name);
    hostaddrs_ += comma + address.to_string();
  }
  if (is_unix(options.endpoint.host)) hosts_ = options.endpoint.host;
  port_ = std::to_string(options.endpoint.port);
  // If it has a CA file, libpq verifies the certificate even for sslmode "require". It therefore
  // gets a CA file only if sslmode requests verification.
  const bool verifies = options.sslmode.starts_with("verify");
  const bool has_certificate = !tls.certificate.empty();
  const std::array<std::pair<const char*, const char*>, kCount> parameters = {{
      {"host", hosts_.c_str()},
      {"hostaddr", hostaddrs_.c_str()},
      {"port", port_.c_str()},
      {"dbname", options.database.c_str()},
      {"user", options.user.c_str()},
      {"password", password.c_str()},
      {"passfile", kNoFile},
      {"application_name", "vitalsd"},
      {"client_encoding", "UTF8"},
      {"sslmode", options.sslmode.c_str()},
      {"channel_binding", options.channel_binding.c_str()},
      {"sslrootcert", verifies ? tls.ca.c_str() : kNoFile},
      {"sslcert", has_certificate ? tls.certificate.c_str() : kNoFile},
      {"sslkey", has_certificate ? tls.key.c_str() : kNoFile},
      {"ssl_min_protocol_version", "TLSv1.2"},
      {"gssencmode", "disable"},
      {"target_session_attrs", "any"},
      {nullptr, nullptr},
  }};
  for (std::size_t i = 0; i < kCount; ++i) std::tie(keywords_[i], values_[i]) = parameters[i];
}

std::string pg_socket(const config::Endpoint& endpoint) {
  return endpoint.host + "/.s.PGSQL." + std::to_string(endpoint.port);
}

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

}  // namespace vitalsd::net
