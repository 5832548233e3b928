// What a PostgreSQL server asks for before it believes who we are, read before libpq does. On an
// unencrypted connection anybody may be the one who asks: for the password as it is, or for as many
// rounds of a hash as keep the client busy for hours.
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
    incomplete,  ///< `needs` bytes have to be there to tell
    none,        ///< nothing that libpq would answer
    cleartext,   ///< the password as it is
    md5,
    scram,         ///< a list of mechanisms
    scram_rounds,  ///< a challenge, with `rounds`
    other,         ///< GSSAPI, SSPI and what nobody speaks any more
  };
  Kind kind = Kind::none;
  std::size_t needs = 0;
  std::uint64_t rounds = 0;
  bool followed = false;  ///< by more bytes: no server asks twice before it has an answer
};

/// What the first bytes that a server sends now ask for.
PgAuthRequest read_pg_auth_request(std::string_view bytes);

/// Why we do not answer, if we do not. `loopback`: the server is on this machine.
std::optional<std::string> refuse_pg_auth(const PgAuthRequest& request, bool loopback,
                                          bool allow_cleartext);

}  // namespace vitalsd::net
