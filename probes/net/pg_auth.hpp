// Checks the authentication requests of a PostgreSQL server before libpq reads them. On an
// unencrypted connection the requests may come from an attacker, who can request the password in
// cleartext, or demand so many hash iterations that the client computes for hours. Pure functions.
// https://www.postgresql.org/docs/current/protocol-message-formats.html
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::net {

struct PgAuthRequest {
  enum class Kind : unsigned char {
    incomplete,  ///< at least `needs` bytes are required to read the request
    none,        ///< not a request that libpq responds to
    cleartext,   ///< the password in cleartext
    md5,
    scram,            ///< a list of mechanisms
    scram_challenge,  ///< a challenge with `iterations`
    other,            ///< GSSAPI, SSPI and obsolete methods
  };
  Kind kind = Kind::none;
  std::size_t needs = 0;
  std::uint64_t iterations = 0;
  /// Whether more bytes follow. A genuine server waits for the response to its request.
  bool has_trailing_bytes = false;
};

/// Reads the request at the beginning of `bytes`, the unread data from the server.
PgAuthRequest read_pg_auth_request(std::string_view bytes);

/// Returns an error if the client must not respond to the request. `loopback`: the server is on
/// this machine.
std::optional<std::string> refuse_pg_auth(const PgAuthRequest& request, bool loopback,
                                          bool allow_cleartext);

}  // namespace vitalsd::net
