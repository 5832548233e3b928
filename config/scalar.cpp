#include "config/scalar.hpp"

#include "config/problems.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>
#include <system_error>
#include <utility>

#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>
#include <boost/url/parse.hpp>
#include <boost/url/url.hpp>
#include <boost/url/url_view.hpp>

namespace vitalsd::config {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

std::unexpected<std::string> wrong(std::string message) {
  return std::unexpected(std::move(message));
}

// Digits only: no sign, no blanks, no leading zero (which YAML 1.1 reads as octal).
Parsed<std::uint64_t> parse_digits(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range) return wrong(quoted(text) + " is too large");
  if (error != std::errc() || end != text.data() + text.size()) {
    return wrong(quoted(text) + " is not a decimal number");
  }
  if (text.size() > 1 && text.front() == '0') {
    return wrong(quoted(text) + " has a leading zero: numbers are decimal");
  }
  return value;
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kDurationUnits = {
    Unit{"ms", 1},        Unit{"s", 1'000},      Unit{"m", 60'000},
    Unit{"h", 3'600'000}, Unit{"d", 86'400'000}, Unit{"w", 604'800'000},
};
constexpr std::uint64_t kLongestDuration = 3'660ULL * 86'400'000;  // ten years

constexpr std::array kSizeUnits = {
    Unit{"B", 1},
    Unit{"kB", 1'000},
    Unit{"MB", 1'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"TB", 1'000'000'000'000},
    Unit{"KiB", 1ULL << 10},
    Unit{"MiB", 1ULL << 20},
    Unit{"GiB", 1ULL << 30},
    Unit{"TiB", 1ULL << 40},
};

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  const auto it = std::ranges::find(units, name, &Unit::name);
  return it == units.end() ? nullptr : &*it;
}

std::string_view leading_digits(std::string_view text) {
  return text.substr(
      0, static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin()));
}

bool is_host_char(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '-' || c == '.' ||
         c == '_';
}

Parsed<std::uint16_t> parse_port(std::string_view text) {
  const auto number = parse_digits(text);
  if (!number) return std::unexpected(number.error());
  if (*number == 0 || *number > 65535) return wrong(quoted(text) + " is not a port (1 to 65535)");
  return static_cast<std::uint16_t>(*number);
}

bool is_utf8_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0U) == 0x80; }

std::string bracketed(const std::string& host) {
  return host.contains(':') ? '[' + host + ']' : host;
}

std::string_view to_view(boost::core::string_view text) { return {text.data(), text.size()}; }

// An IPv6 address with the name of an interface, which only has a meaning on one machine.
bool has_zone(std::string_view text) {
  const std::size_t open = text.find("//");
  if (open == std::string_view::npos) return false;
  const std::string_view authority =
      text.substr(open + 2, text.find_first_of("/?#", open + 2) - (open + 2));
  const std::size_t bracket = authority.rfind('[');
  return bracket != std::string_view::npos && authority.substr(bracket).contains('%');
}

// Empty, or what is wrong with host and port. Boost.URL takes ports of any length modulo 65536, and
// what follows the digits of a port for a path. The message repeats neither host nor port: where a
// password holds an unescaped '/', they are parts of it.
std::string_view authority_fault(const boost::urls::url_view& view) {
  constexpr std::string_view kNoHost = "the host of this URL is neither a name nor an address";
  const std::string_view host = to_view(view.encoded_host());
  if (!view.has_authority() || host.empty()) return "this URL names no host";
  if (view.host_type() == boost::urls::host_type::ipvfuture) return kNoHost;
  if (view.host_type() != boost::urls::host_type::ipv6 &&
      !std::ranges::all_of(host, is_host_char)) {
    return kNoHost;
  }
  const std::string_view path = to_view(view.encoded_path());
  const bool goes_on = !path.empty() && !path.starts_with('/');
  if (!view.has_port()) return goes_on ? kNoHost : "";
  if (goes_on || !parse_port(to_view(view.port()))) {
    return "the port of this URL is not one (1 to 65535)";
  }
  return "";
}

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }
bool is_hex_digit(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

std::string percent_encoded(std::string_view bytes) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string out;
  for (const char c : bytes) {
    const auto byte = static_cast<unsigned char>(c);
    out += {'%', kHex[byte >> 4U], kHex[byte & 15U]};
  }
  return out;
}

// Whether a '%' is one of three characters that stand for a byte.
bool begins_escape(std::string_view text) {
  return text.size() >= 3 && text[0] == '%' && is_hex_digit(text[1]) && is_hex_digit(text[2]);
}

// Where scheme, user and host end: the index of the path, or of what comes in its place.
std::size_t end_of_authority(std::string_view text) {
  std::size_t at = 0;
  while (at < text.size() && (is_letter(text[at]) || is_digit(text[at]) || text[at] == '+' ||
                              text[at] == '-' || text[at] == '.')) {
    ++at;
  }
  const std::size_t begin =
      at > 0 && at < text.size() && text[at] == ':' && is_letter(text[0]) ? at + 1 : 0;
  if (!text.substr(begin).starts_with("//")) return begin;
  return std::min(text.find_first_of("/?#", begin + 2), text.size());
}

// A Location as browsers take it, who find much in it that RFC 3986 has not: spaces, UTF-8,
// brackets, a bare '%', backslashes for slashes. Controls stay, for the parser to refuse. Without
// the fragment, which is not sent.
std::string as_browsers_read(std::string_view location) {
  std::string text(location.substr(0, location.find('#')));
  const std::size_t query = std::min(text.find('?'), text.size());
  for (std::size_t i = 0; i < query; ++i) {
    if (text[i] == '\\') text[i] = '/';
  }
  const std::size_t begin = end_of_authority(text);
  std::string out = text.substr(0, begin);
  for (std::size_t i = begin; i < text.size(); ++i) {
    constexpr std::string_view kEncoded = " \"<>[\\]^`{|}";
    const char c = text[i];
    const bool bare = c == '%' && !begins_escape(std::string_view(text).substr(i));
    if (bare || kEncoded.contains(c) || static_cast<unsigned char>(c) >= 0x80) {
      out += percent_encoded({&c, 1});
    } else {
      out += c;
    }
  }
  return out;
}

// The hint for a password that ends a URL's host too early, as '#' does; empty where there is no
// such sign. It tells of that character only.
std::string unescaped_password(std::string_view text) {
  const std::size_t end = end_of_authority(text);
  if (end == text.size() || text.substr(0, end).contains('@') || !text.substr(end).contains('@')) {
    return {};
  }
  const std::string_view ending = text.substr(end, 1);
  if (!std::string_view("/?#").contains(ending)) return {};
  return "in a user or a password, write " + std::string(ending) + " as " + percent_encoded(ending);
}

// Which character of a text cannot be in a URL, in words; empty if it is none of them. In front of
// an '@' and in the query there may be secrets, of which not even a character is repeated.
std::string bad_character(std::string_view text) {
  constexpr std::string_view kAllowed = "-._~:/?@!$&'()*+,;=";
  const std::size_t path = end_of_authority(text);
  const std::size_t at = text.rfind('@');
  const std::size_t host = at == std::string_view::npos ? 0 : at + 1;
  const std::size_t query = std::min(text.find('?'), text.size());
  const std::size_t fragment = std::min(text.find('#'), text.size());
  std::size_t count = 0;  // of characters
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (!is_utf8_continuation(c)) ++count;
    const bool bracket = (c == '[' || c == ']') && host <= i && i < path;
    if (is_letter(c) || is_digit(c) || kAllowed.contains(c) || bracket || i == fragment ||
        begins_escape(text.substr(i))) {
      continue;
    }
    const std::string place = "character " + std::to_string(count);
    if (i < host || i > query) return place + " has to be percent-encoded, as % and two hex digits";
    std::size_t end = i + 1;
    while (end < text.size() && is_utf8_continuation(text[end])) ++end;
    const std::string_view whole = text.substr(i, end - i);
    const std::string shown = place + " is " + quoted(whole);
    return i < path ? shown + ", which no host has" : shown + ": write " + percent_encoded(whole);
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

}  // namespace

std::string quoted(std::string_view text) {
  constexpr std::size_t kLongest = 80;
  const std::string shown = without_credentials(text);
  if (shown.size() <= kLongest) return "'" + escape_controls(shown) + "'";
  std::size_t end = kLongest;
  while (end > 0 && is_utf8_continuation(shown[end])) --end;  // not in the middle of a character
  return "'" + escape_controls(std::string_view(shown).substr(0, end)) + "…'";
}

bool is_address(std::string_view text) {
  const boost::core::string_view view(text.data(), text.size());
  return boost::urls::parse_ipv4_address(view) || boost::urls::parse_ipv6_address(view);
}

std::string percent_decoded(std::string_view part) {
  return boost::urls::pct_string_view(part.data(), part.size()).decode();
}

std::string Endpoint::text() const { return bracketed(host) + ':' + std::to_string(port); }

std::string Url::text() const {
  std::string out = scheme + "://" + bracketed(host);
  if (port != 0) out += ':' + std::to_string(port);
  out += path;
  if (!query.empty()) out += '?' + query;
  return out;
}

Parsed<std::string> Scalar<std::string>::parse(std::string_view text) { return std::string(text); }
std::string Scalar<std::string>::show(const std::string& value) { return value; }

Parsed<bool> Scalar<bool>::parse(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return wrong(quoted(text) + " is neither true nor false");
}
std::string Scalar<bool>::show(const bool& value) { return value ? "true" : "false"; }

Parsed<std::int64_t> Scalar<std::int64_t>::parse(std::string_view text) {
  const bool negative = text.starts_with('-');
  const auto digits = parse_digits(negative ? text.substr(1) : text);
  if (!digits) return std::unexpected(digits.error());
  if (*digits > std::uint64_t{std::numeric_limits<std::int64_t>::max()}) {
    return wrong(quoted(text) + " is too large");
  }
  const auto value = static_cast<std::int64_t>(*digits);
  return negative ? -value : value;
}
std::string Scalar<std::int64_t>::show(const std::int64_t& value) { return std::to_string(value); }

Parsed<double> Scalar<double>::parse(std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return wrong(quoted(text) + " is not a decimal number");
  }
  return value;
}
std::string Scalar<double>::show(const double& value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

Parsed<Duration> Scalar<Duration>::parse(std::string_view text) {
  constexpr std::string_view kExample = ": write for example 500ms, 30s, 5m, 24h or 30d";
  std::uint64_t total = 0;
  std::uint64_t previous_factor = std::numeric_limits<std::uint64_t>::max();
  std::string_view rest = text;
  if (rest.empty()) return wrong("a duration is missing" + std::string(kExample));
  while (!rest.empty()) {
    const std::string_view digits = leading_digits(rest);
    if (digits.empty()) return wrong(quoted(text) + " is not a duration" + std::string(kExample));
    const auto number = parse_digits(digits);
    if (!number) return std::unexpected(number.error());
    rest.remove_prefix(digits.size());
    const std::string_view name = rest.substr(
        0, static_cast<std::size_t>(std::ranges::find_if(rest, is_digit) - rest.begin()));
    if (name.empty()) {
      return wrong(quoted(text) + " has no unit" + std::string(kExample));
    }
    const Unit* unit = find_unit(kDurationUnits, name);
    if (unit == nullptr) return wrong(quoted(text) + " is not a duration" + std::string(kExample));
    if (unit->factor >= previous_factor) {
      return wrong(quoted(text) + " is not a duration: the larger unit comes first, once");
    }
    previous_factor = unit->factor;
    rest.remove_prefix(name.size());
    if (*number > kLongestDuration / unit->factor)
      return wrong(quoted(text) + " is over ten years");
    total += *number * unit->factor;
  }
  if (total > kLongestDuration) return wrong(quoted(text) + " is over ten years");
  return Duration(static_cast<std::int64_t>(total));
}

std::string Scalar<Duration>::show(const Duration& value) {
  auto left = static_cast<std::uint64_t>(value.count());
  if (left == 0) return "0s";
  std::string out;
  for (std::size_t i = kDurationUnits.size() - 1; i-- > 0;) {  // from days: 7d reads better than 1w
    const Unit& unit = kDurationUnits[i];
    if (left < unit.factor) continue;
    if (unit.name == "d" && value.count() <= 48 * 3'600'000) continue;  // 24h, as the documents say
    out += std::to_string(left / unit.factor) + std::string(unit.name);
    left %= unit.factor;
  }
  return out;
}

Parsed<Bytes> Scalar<Bytes>::parse(std::string_view text) {
  constexpr std::string_view kExample = ": write for example 512B, 10kB, 1MiB or 5GB";
  const std::string_view digits = leading_digits(text);
  const std::string_view name = text.substr(digits.size());
  if (digits.empty()) return wrong(quoted(text) + " is not a size" + std::string(kExample));
  const auto number = parse_digits(digits);
  if (!number) return std::unexpected(number.error());
  if (name.empty()) return wrong(quoted(text) + " has no unit" + std::string(kExample));
  const Unit* unit = find_unit(kSizeUnits, name);
  if (unit == nullptr) return wrong(quoted(text) + " is not a size" + std::string(kExample));
  if (*number > std::numeric_limits<std::int64_t>::max() / unit->factor) {
    return wrong(quoted(text) + " is too large");
  }
  return Bytes{*number * unit->factor};
}

std::string Scalar<Bytes>::show(const Bytes& value) {
  for (const std::string_view name : {"TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"}) {
    const std::uint64_t factor = find_unit(kSizeUnits, name)->factor;
    if (value.value != 0 && value.value % factor == 0) {
      return std::to_string(value.value / factor) + std::string(name);
    }
  }
  return std::to_string(value.value) + "B";
}

Parsed<Ratio> Scalar<Ratio>::parse(std::string_view text) {
  const bool percent = text.ends_with('%');
  const auto number = Scalar<double>::parse(percent ? text.substr(0, text.size() - 1) : text);
  if (!number) return wrong(quoted(text) + " is not a ratio: write for example 80% or 0.8");
  const double value = percent ? *number / 100 : *number;
  if (value < 0 || value > 1) {
    return wrong(quoted(text) + " is not a ratio between 0 and 1 (0% and 100%)");
  }
  return Ratio{value};
}
std::string Scalar<Ratio>::show(const Ratio& value) {
  return Scalar<double>::show(std::round(value.value * 1e6) / 1e4) + "%";
}

Parsed<Endpoint> Scalar<Endpoint>::parse(std::string_view text) {
  constexpr std::string_view kExample = ": write host:port, for example db.example:5432";
  // A URL: what looks like its port may be a password.
  if (text.contains('/') || text.contains('@')) {
    return wrong(quoted(text) + " is not a host and a port" + std::string(kExample));
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size() || text.ends_with(']')) {
    return wrong(quoted(text) + " has no port" + std::string(kExample));
  }
  std::string_view host = text.substr(0, colon);
  const auto port = parse_port(text.substr(colon + 1));
  if (!port) return std::unexpected(port.error());
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!host.contains(':') || !is_address(host)) {
      return wrong(quoted(text) + " is not an address in brackets");
    }
  } else if (host.empty() || !std::ranges::all_of(host, is_host_char)) {
    return wrong(quoted(text) + " is not a host and a port" + std::string(kExample));
  }
  return Endpoint{std::string(host), *port};
}
std::string Scalar<Endpoint>::show(const Endpoint& value) { return value.text(); }

Parsed<Url> Scalar<Url>::parse(std::string_view text) {
  if (has_zone(text)) return wrong("the host of this URL has a zone: only plain addresses work");
  const auto parsed = boost::urls::parse_uri(boost::core::string_view(text.data(), text.size()));
  const std::string hint = unescaped_password(text);
  if (!parsed) {
    // The text may hold a password, so it is not repeated.
    const std::string what = hint.empty() ? bad_character(text) : hint;
    return wrong("this is not a URL: " +
                 (what.empty() ? "write for example https://host.example/path" : what));
  }
  if (const std::string_view fault = authority_fault(*parsed); !fault.empty()) {
    return wrong(std::string(fault) + (hint.empty() ? "" : ": " + hint));
  }
  // A URL in every sense, but what follows a '#' is not part of a host, and nothing else needs it.
  if (hint.ends_with("%23")) return wrong("the host of this URL ends at a #: " + hint);
  Url url = to_url(*parsed);
  if (url.user.contains('\0') || url.password.contains('\0')) {
    return wrong("user or password of this URL hold a zero byte");  // where C would end the text
  }
  return url;
}

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

std::string Scalar<Url>::show(const Url& value) { return value.text(); }

}  // namespace vitalsd::config
