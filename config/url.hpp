// Absolute URLs in their parts, percent-encoding, and redirects. Pure functions. Only url.cpp and
// endpoint.cpp use Boost.URL.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::config {

/// The parts of an absolute URL. The user, the password and the host are decoded.
struct Url {
  std::string scheme;
  std::string user;
  std::string password;  ///< a secret: the caller moves it into a Secret at once
  std::string host;
  std::uint16_t port = 0;  ///< 0: not given
  std::string path;        ///< still encoded, "" or "/..."
  std::string query;       ///< still encoded, without '?'
  /// The URL without user, password and fragment.
  [[nodiscard]] std::string text() const;
};

/// `text` with '%' and two hexadecimal digits in place of every byte that is not an unreserved
/// character of RFC 3986 (letters, digits, - . _ ~).
std::string percent_encode(std::string_view text);

/// Decodes percent-encoding. A '%' without two hexadecimal digits stays, and so does '+'.
std::string percent_decode(std::string_view text);

/// Resolves `reference` (a Location header, absolute or relative) against `base`, the URL of the
/// request. Returns nothing if the result is not an http or https URL with a valid host and port.
std::optional<Url> resolve_url(const Url& base, std::string_view reference);

}  // namespace vitalsd::config
