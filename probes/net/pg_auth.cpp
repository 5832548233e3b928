#include "probes/net/pg_auth.hpp"

#include <algorithm>
#include <charconv>
#include <system_error>

namespace vitalsd::net {
namespace {

constexpr std::size_t kHeaderSize = 9;     // type, length, code
constexpr std::size_t kMaxMessage = 2004;  // libpq's limit for an authentication request
// PostgreSQL's default is 4096; a million takes about half a second.
constexpr std::uint64_t kMaxIterations = 1'000'000;

std::uint32_t number_at(std::string_view bytes, std::size_t at) {
  std::uint32_t number = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    number = number << 8 | static_cast<unsigned char>(bytes[at + i]);
  }
  return number;
}

// Returns the number in "r=NONCE,s=SALT,i=4096" (RFC 5802); the largest one if there are several.
std::uint64_t iterations_of(std::string_view challenge) {
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
    case 0:   // AuthenticationOk
    case 12:  // the final message of SCRAM, which proves that the server knows the password
      return Kind::none;
    case 3:
      return Kind::cleartext;
    case 5:
      return Kind::md5;
    case 10:
      return Kind::scram;
    case 11:
      return Kind::scram_challenge;
    default:
      return Kind::other;
  }
}

}  // namespace

PgAuthRequest read_pg_auth_request(std::string_view bytes) {
  using Kind = PgAuthRequest::Kind;
  if (bytes.empty() || bytes[0] != 'R') return {};
  if (bytes.size() < kHeaderSize) return {.kind = Kind::incomplete, .needs = kHeaderSize};
  const std::size_t size = std::size_t{number_at(bytes, 1)} + 1;
  if (size < kHeaderSize || size > kMaxMessage) return {};  // libpq rejects it
  if (bytes.size() < size) return {.kind = Kind::incomplete, .needs = size};
  PgAuthRequest request{.kind = kind_of(number_at(bytes, 5))};
  if (request.kind == Kind::scram_challenge) {
    request.iterations = iterations_of(bytes.substr(kHeaderSize, size - kHeaderSize));
  }
  request.has_trailing_bytes = request.kind != Kind::none && bytes.size() > size;
  return request;
}

std::optional<std::string> refuse_pg_auth(const PgAuthRequest& request, bool loopback,
                                          bool allow_cleartext) {
  using Kind = PgAuthRequest::Kind;
  if (request.has_trailing_bytes) {
    return "the server sent more data before it received a response to its authentication request";
  }
  if (request.kind == Kind::other) {
    return "the server requests an authentication method that vitalsd does not support";
  }
  if (request.kind == Kind::cleartext && !loopback && !allow_cleartext) {
    return "the server requests the password on an unencrypted connection, where its identity "
           "cannot be verified: use sslmode=verify-full, or set allow_cleartext_password: true";
  }
  if (request.iterations > kMaxIterations) {
    return "the server requests " + std::to_string(request.iterations) +
           " iterations of SCRAM; the limit is " + std::to_string(kMaxIterations);
  }
  return std::nullopt;
}

}  // namespace vitalsd::net
