#include "probes/net/pg_auth.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace vitalsd::net {
namespace {

constexpr std::size_t kHead = 9;           // type, length, code
constexpr std::size_t kMaxMessage = 2004;  // what libpq takes for an authentication request
// PostgreSQL's own default is 4096; a million takes about half a second.
constexpr std::uint64_t kMaxRounds = 1'000'000;

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

// "r=NONCE,s=SALT,i=4096" (RFC 5802); of several numbers the largest.
std::uint64_t rounds_of(std::string_view challenge) {
  std::uint64_t max = 0;
  while (!challenge.empty()) {
    const std::string_view field = challenge.substr(0, challenge.find(','));
    challenge.remove_prefix(std::min(field.size() + 1, challenge.size()));
    if (!field.starts_with("i=")) continue;
    std::uint64_t number = 0;
    const auto [end, error] =
        std::from_chars(field.data() + 2, field.data() + field.size(), number);
    if (error == std::errc::result_out_of_range) number = UINT64_MAX;
    max = std::max(max, number);
  }
  return max;
}

PgAuthRequest::Kind kind_of(std::uint32_t code) {
  using Kind = PgAuthRequest::Kind;
  switch (code) {
    case 0:   // it believes us
    case 12:  // the last word of SCRAM, by which the server proves that it knows the password
      return Kind::none;
    case 3:
      return Kind::cleartext;
    case 5:
      return Kind::md5;
    case 10:
      return Kind::scram;
    case 11:
      return Kind::scram_rounds;
    default:
      return Kind::other;
  }
}

}  // namespace

PgAuthRequest read_pg_auth_request(std::string_view bytes) {
  using Kind = PgAuthRequest::Kind;
  if (bytes.empty() || bytes[0] != 'R') return {};
  if (bytes.size() < kHead) return {.kind = Kind::incomplete, .needs = kHead};
  const std::size_t size = std::size_t{number_at(bytes, 1)} + 1;
  if (size < kHead || size > kMaxMessage) return {};  // which libpq refuses
  if (bytes.size() < size) return {.kind = Kind::incomplete, .needs = size};
  PgAuthRequest request{.kind = kind_of(number_at(bytes, 5))};
  if (request.kind == Kind::scram_rounds) {
    request.rounds = rounds_of(bytes.substr(kHead, size - kHead));
  }
  request.followed = request.kind != Kind::none && bytes.size() > size;
  return request;
}

std::optional<std::string> refuse_pg_auth(const PgAuthRequest& request, bool loopback,
                                          bool allow_cleartext) {
  using Kind = PgAuthRequest::Kind;
  if (request.followed) return "the server sends more before it has an answer to its question";
  if (request.kind == Kind::other) {
    return "the server asks for a way of authentication that vitalsd does not know";
  }
  if (request.kind == Kind::cleartext && !loopback && !allow_cleartext) {
    return "the server asks for the password unencrypted, and anybody may be the one who asks: use "
           "sslmode=verify-full, or set allow_cleartext_password: true";
  }
  if (request.rounds > kMaxRounds) {
    return "the server asks for " + std::to_string(request.rounds) +
           " rounds of SCRAM; the limit is " + std::to_string(kMaxRounds);
  }
  return std::nullopt;
}

}  // namespace vitalsd::net
