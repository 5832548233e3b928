// A host and a port: the parts that endpoints and URLs share. Pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::config {

/// A host (name or address, without brackets) and a port.
struct Endpoint {
  std::string host;
  std::uint16_t port = 0;
  /// "host:port", with brackets around an IPv6 address.
  [[nodiscard]] std::string text() const;
  bool operator==(const Endpoint&) const = default;
};

/// Whether `text` is an IPv4 address or an IPv6 address without brackets.
bool is_address(std::string_view text);

/// Whether `text` is not empty and has only characters of a host name or an IPv4 address.
bool is_host_name(std::string_view text);

/// 1 to 65535 in decimal digits without a leading zero; nothing otherwise.
std::optional<std::uint16_t> parse_port(std::string_view text);

/// `host` in the form that precedes ":port": an IPv6 address in brackets.
std::string bracketed(const std::string& host);

}  // namespace vitalsd::config
