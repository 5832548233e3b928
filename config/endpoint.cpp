#include "config/endpoint.hpp"

#include "config/characters.hpp"
#include "config/problems.hpp"
#include "config/scalar.hpp"
#include "config/variable.hpp"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <system_error>

#include <boost/url/ipv4_address.hpp>
#include <boost/url/ipv6_address.hpp>

namespace vitalsd::config {

bool is_address(std::string_view text) {
  const boost::core::string_view view(text.data(), text.size());
  return boost::urls::parse_ipv4_address(view) || boost::urls::parse_ipv6_address(view);
}

bool is_host_name(std::string_view text) {
  return !text.empty() && std::ranges::all_of(text, [](char c) {
    return is_letter(c) || is_digit(c) || c == '-' || c == '.' || c == '_';
  });
}

std::optional<std::uint16_t> parse_port(std::string_view text) {
  std::uint16_t port = 0;
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, port);
  if (result.ec != std::errc() || result.ptr != end || text.starts_with('0')) return std::nullopt;
  return port;
}

std::string bracketed(const std::string& host) {
  return host.contains(':') ? '[' + host + ']' : host;
}

std::string Endpoint::text() const { return bracketed(host) + ':' + std::to_string(port); }

Parsed<Endpoint> Scalar<Endpoint>::parse(std::string_view text) {
  constexpr std::string_view kForm = ": must be host:port, for example db.example:5432";
  const auto invalid = [&](std::string_view why) {
    return std::unexpected(quoted(text) + std::string(why));
  };
  // The text may be a URL. It is rejected here, because a message about its port could show a part
  // of a password.
  if (text.contains("://")) return invalid(" is a URL" + std::string(kForm));
  if (const std::string_view variable = find_variable(without_userinfo(text)); !variable.empty()) {
    return std::unexpected("vitalsd does not expand " + quoted(variable) + ": write its value");
  }
  if (text.contains('/') || text.contains('@')) {
    return invalid(" is not a valid endpoint" + std::string(kForm));
  }
  const std::size_t colon = text.rfind(':');
  if (colon == std::string_view::npos || colon + 1 == text.size() || text.ends_with(']')) {
    return invalid(" has no port" + std::string(kForm));
  }
  std::string_view host = text.substr(0, colon);
  const std::string_view port_text = text.substr(colon + 1);
  const auto port = parse_port(port_text);
  if (!port) {
    return std::unexpected(quoted(port_text) +
                           " is not a valid port: must be a number between 1 and 65535");
  }
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    if (!host.contains(':') || !is_address(host)) {
      return invalid(" is not a valid endpoint: the brackets must contain an IPv6 address");
    }
  } else if (!is_host_name(host)) {
    return invalid(" is not a valid endpoint" + std::string(kForm));
  }
  return Endpoint{std::string(host), *port};
}

std::string Scalar<Endpoint>::show(const Endpoint& value) { return value.text(); }

}  // namespace vitalsd::config
