#include "config/url.hpp"

#include "config/characters.hpp"
#include "config/endpoint.hpp"
#include "config/problems.hpp"
#include "config/scalar.hpp"
#include "config/socket_url.hpp"
#include "config/variable.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>

namespace vitalsd::config {
namespace {

std::string_view to_view(boost::core::string_view text) { return {text.data(), text.size()}; }

// Whether `text` starts with '%' and two hexadecimal digits.
bool starts_with_escape(std::string_view text) {
  return text.size() >= 3 && text[0] == '%' && is_hex_digit(text[1]) && is_hex_digit(text[2]);
}

// Whether the host is an IPv6 address with a zone (the name of an interface), which is valid on one
// machine only.
bool has_zone(std::string_view text) {
  const std::size_t open = text.find("//");
  if (open == std::string_view::npos) return false;
  const std::string_view authority =
      text.substr(open + 2, text.find_first_of("/?#", open + 2) - (open + 2));
  const std::size_t bracket = authority.rfind('[');
  return bracket != std::string_view::npos && authority.substr(bracket).contains('%');
}

enum class Host : unsigned char { name_or_address, maybe_socket };

// Whether the URL has no host, or the path of a socket in place of the host. A lone ":" counts as a
// host: it is more likely the start of a password that is cut off than the start of a port.
bool is_socket(const boost::urls::url_view& view) {
  const std::string_view host = to_view(view.encoded_host());
  if (host.empty()) return !view.has_port() || view.has_userinfo();
  return host.starts_with("%2F") || host.starts_with("%2f");
}

// The error in the host or the port; empty if both are valid. Boost.URL accepts ports of any length
// modulo 65536 and reads the text after the digits of a port as a path. The message repeats neither
// host nor port, because they are parts of the password if it has an unescaped '/'.
std::string_view authority_fault(const boost::urls::url_view& view,
                                 Host allowed = Host::name_or_address) {
  constexpr std::string_view kBadHost = "the host of the URL is not a valid name or address";
  const std::string_view host = to_view(view.encoded_host());
  const bool socket = allowed == Host::maybe_socket && is_socket(view);
  if (!view.has_authority() || (host.empty() && !socket)) return "the URL has no host";
  if (view.host_type() == boost::urls::host_type::ipvfuture) return kBadHost;
  if (view.host_type() != boost::urls::host_type::ipv6 && !is_host_name(host) && !socket) {
    return kBadHost;
  }
  const std::string_view path = to_view(view.encoded_path());
  const bool has_trailing_text = !path.empty() && !path.starts_with('/');
  if (!view.has_port()) return has_trailing_text ? kBadHost : "";
  if (has_trailing_text || !parse_port(to_view(view.port()))) {
    return "the port of the URL must be a number between 1 and 65535";
  }
  return "";
}

// Whether the text has the form of a host, with or without a port and a path: "host:80/path".
bool lacks_scheme(std::string_view text) {
  const std::string_view host = text.substr(0, text.find_first_of(":/?"));
  if (!is_host_name(host) || text.contains("://")) return false;
  if (host.size() == text.size() || text[host.size()] != ':') return true;
  const std::string_view rest = text.substr(host.size() + 1);
  return parse_port(rest.substr(0, rest.find_first_of("/?"))).has_value();
}

// The index after scheme, user, host and port, at which the path, the query or the fragment starts.
std::size_t end_of_authority(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && (is_letter(text[at]) || is_digit(text[at]) || text[at] == '+' ||
                              text[at] == '-' || text[at] == '.')) {
    ++at;
  }
  const bool has_scheme = at > 0 && at < text.size() && text[at] == ':' && is_letter(text[0]);
  const std::size_t start = has_scheme ? at + 1 : 0;
  if (!text.substr(start).starts_with("//")) return start;
  return std::min(text.find_first_of("/?#", start + 2), text.size());
}

// Converts a Location header as browsers do. They accept text that RFC 3986 does not allow: spaces,
// UTF-8, brackets, a '%' without digits, backslashes for slashes. Control characters are not
// converted, so the parser rejects them. The fragment is removed because it is not sent.
std::string as_browsers_read(std::string_view location) {
  std::string text(location.substr(0, location.find('#')));
  const std::size_t query = std::min(text.find('?'), text.size());
  for (std::size_t i = 0; i < query; ++i) {
    if (text[i] == '\\') text[i] = '/';
  }
  const std::size_t path = end_of_authority(text);
  std::string out = text.substr(0, path);
  for (std::size_t i = path; i < text.size(); ++i) {
    constexpr std::string_view kEncoded = " \"<>[\\]^`{|}";
    const char c = text[i];
    const bool stray_percent = c == '%' && !starts_with_escape(std::string_view(text).substr(i));
    if (stray_percent || kEncoded.contains(c) || static_cast<unsigned char>(c) >= 0x80) {
      out += percent_encode({&c, 1});
    } else {
      out += c;
    }
  }
  return out;
}

// A hint for a password with a character ('/', '?', '#') that ends the host too early; empty if the
// text does not look like one. The hint repeats that character only.
std::string unescaped_password(std::string_view text) {
  const std::size_t end = end_of_authority(text);
  if (end == text.size() || text.substr(0, end).contains('@') || !text.substr(end).contains('@')) {
    return {};
  }
  const std::string_view ending = text.substr(end, 1);
  if (!std::string_view("/?#").contains(ending)) return {};
  return "write " + std::string(ending) + " in a user name or a password as " +
         percent_encode(ending);
}

// Whether the URL is valid, but an '@' after its host is more likely the end of a password: in any
// URL with "name:text" before, unless http allows it in the path of a server. The text after '/' or
// '?' would otherwise be shown.
bool has_cut_password(std::string_view text, const boost::urls::url_view& view) {
  const std::size_t end = end_of_authority(text);
  const bool has_password = view.has_password();
  if ((!has_password && !view.has_port()) || text.substr(0, end).contains('[')) return false;
  const std::string_view rest = text.substr(end);
  const bool is_query = rest.starts_with('?');
  const std::string_view place = is_query ? rest : rest.substr(0, rest.find_first_of("?#"));
  const std::size_t at = place.rfind('@');
  if (at == std::string_view::npos) return false;
  const std::string_view scheme = to_view(view.scheme());
  if (is_query || (scheme != "http" && scheme != "https")) return true;
  if (place[at - 1] == '/') return false;  // https://host/@user
  if (has_password) return true;
  std::string_view host = place.substr(at + 1);
  host = host.substr(0, host.find('/'));
  const std::size_t colon = host.find(':');
  if (colon != std::string_view::npos) return parse_port(host.substr(colon + 1)).has_value();
  return !host.empty() && host.find_first_not_of("0123456789.") == std::string_view::npos;
}

// The first character that is not allowed in a URL, with its correction; empty if all are allowed.
// The text before '@' and the query may contain secrets, so the message repeats no character of
// them.
std::string bad_character(std::string_view text) {
  constexpr std::string_view kAllowed = "-._~:/?@!$&'()*+,;=";
  const std::size_t path = end_of_authority(text);
  const std::size_t at = text.rfind('@');
  const std::size_t host = at == std::string_view::npos ? 0 : at + 1;
  const std::size_t query = std::min(text.find('?'), text.size());
  const std::size_t fragment = std::min(text.find('#'), text.size());
  std::size_t characters = 0;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!is_utf8_continuation(c)) ++characters;
    const bool bracket = (c == '[' || c == ']') && host <= i && i < path;
    if (is_letter(c) || is_digit(c) || kAllowed.contains(c) || bracket || i == fragment ||
        starts_with_escape(text.substr(i))) {
      continue;
    }
    const std::string place = "character " + std::to_string(characters);
    if (i < host || i > query) {
      return place + " must be percent-encoded: write % and two hexadecimal digits";
    }
    std::size_t end = i + 1;
    while (end < text.size() && is_utf8_continuation(text[end])) ++end;
    const std::string_view character = text.substr(i, end - i);
    const std::string found = place + " is " + quoted(character);
    return i < path ? found + ", which is not allowed in a host"
                    : found + ", write it as " + percent_encode(character);
  }
  return {};
}

Url to_url(const boost::urls::url_view& view) {
  Url url;
  url.scheme = view.scheme();
  url.user = view.user();
  url.password = view.password();
  url.host = view.host_address();
  url.port = view.port_number();
  url.path = std::string(view.encoded_path());
  url.query = std::string(view.encoded_query());
  return url;
}

Parsed<Url> parse_url(std::string_view text, Host allowed) {
  const auto invalid = [](std::string message) { return std::unexpected(std::move(message)); };
  if (has_zone(text)) {
    return invalid("the host of the URL has a zone: must be an address without '%' and a zone");
  }
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  const std::string hint = unescaped_password(text);
  if (const std::string_view variable = find_variable(without_userinfo(text));
      !variable.empty() && (!parsed || !authority_fault(*parsed, allowed).empty())) {
    return invalid("vitalsd does not expand " + quoted(variable) + ": write its value");
  }
  if (lacks_scheme(text) && hint.empty()) {
    return invalid(
        "the URL has no scheme: it must start with one, such as " +
        std::string(allowed == Host::maybe_socket ? "redis:// or postgresql://" : "https://"));
  }
  if (!parsed) {
    // The text may hold a password, so the message does not repeat it.
    const std::string why = hint.empty() ? bad_character(text) : hint;
    return invalid("not a valid URL: " +
                   (why.empty() ? "must have the form https://host.example/path" : why));
  }
  if (const std::string_view fault = authority_fault(*parsed, allowed); !fault.empty()) {
    return invalid(std::string(fault) + (hint.empty() ? "" : ": " + hint));
  }
  // The URL is valid, but a '#' before an '@' is more likely part of a password than the start of a
  // fragment, which no probe needs.
  if (hint.ends_with("%23")) return invalid("the host of the URL ends at '#': " + hint);
  if (has_cut_password(text, *parsed)) {
    const std::string ending(text.substr(end_of_authority(text), 1));
    return invalid("the host of the URL ends at '" + ending + "', and an '@' follows: write " +
                   ending + " in a user name or a password as " + percent_encode(ending) +
                   ", or the '@' as %40");
  }
  Url url = to_url(*parsed);
  // A C library would read the text only up to the NUL.
  if (url.user.contains('\0') || url.password.contains('\0')) {
    return invalid("the user name or the password of the URL contains a zero byte: remove %00");
  }
  if (url.host.contains('\0')) return invalid("the host of the URL contains a zero byte");
  return url;
}

}  // namespace

std::string percent_encode(std::string_view text) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  constexpr std::string_view kUnreservedMarks = "-._~";
  std::string out;
  for (const char c : text) {
    if (is_letter(c) || is_digit(c) || kUnreservedMarks.contains(c)) {
      out += c;
    } else {
      const auto byte = static_cast<unsigned char>(c);
      out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
    }
  }
  return out;
}

std::string percent_decode(std::string_view text) {
  const auto digit = [](char c) { return is_digit(c) ? c - '0' : (c | 0x20) - 'a' + 10; };
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (starts_with_escape(text.substr(i))) {
      out += static_cast<char>(digit(text[i + 1]) * 16 + digit(text[i + 2]));
      i += 2;
    } else {
      out += text[i];
    }
  }
  return out;
}

std::string Url::text() const {
  std::string out = scheme + "://" + bracketed(host);
  if (port != 0) out += ':' + std::to_string(port);
  out += path;
  if (!query.empty()) out += '?' + query;
  return out;
}

Parsed<Url> Scalar<Url>::parse(std::string_view text) {
  return parse_url(text, Host::name_or_address);
}

Parsed<SocketUrl> Scalar<SocketUrl>::parse(std::string_view text) {
  if (!text.contains("://") && text.contains('=')) {
    return std::unexpected(
        "not a URL: instead of KEY=VALUE write postgresql://USER@/DATABASE?host=/DIRECTORY");
  }
  const Parsed<Url> url = parse_url(text, Host::maybe_socket);
  if (!url) return std::unexpected(url.error());
  return SocketUrl{*url};
}

std::string Scalar<Url>::show(const Url& value) { return value.text(); }

std::optional<Url> resolve_url(const Url& base, std::string_view reference) {
  const std::string base_text = base.text();
  const std::string location = as_browsers_read(reference);
  const auto from = boost::urls::parse_uri(base_text);
  const auto to = boost::urls::parse_uri_reference(location);
  if (!from || !to || has_zone(location)) return std::nullopt;
  if (to->has_authority() && !authority_fault(*to).empty()) return std::nullopt;
  boost::urls::url resolved;
  if (!boost::urls::resolve(*from, *to, resolved)) return std::nullopt;
  if (resolved.scheme() != "http" && resolved.scheme() != "https") return std::nullopt;
  if (!authority_fault(resolved).empty()) return std::nullopt;
  return to_url(resolved);
}

}  // namespace vitalsd::config
