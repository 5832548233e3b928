// Options that several probe kinds have in common.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/resolver.hpp"

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include <re2/re2.h>

namespace vitalsd::net {

/// Reads the secret `key`, or the password in the URL of the option `source`, for which it records
/// a warning. Both together are an error.
config::Secret read_password(config::Node& options, const config::Url& url,
                             std::string_view key = "password", std::string_view source = "url");

/// Reads `ip`. It is an error if `host`, which the option `source` contains, is an address of
/// another version or the path of a Unix socket.
IpVersion read_ip(config::Node& options, std::string_view source, const std::string& host);

/// Reports an error for the option `ip` if `host` is an address of another version.
void check_ip(config::Node& options, IpVersion version, std::string_view source,
              const std::string& host);

/// Returns the parameters in the query of the option `url`, decoded. Parameters that are not in
/// `known` are errors.
std::map<std::string, std::string> read_parameters(config::Node& options, std::string_view query,
                                                   const std::vector<std::string_view>& known);

/// A compiled regular expression. RE2 needs linear time on any input.
struct Pattern {
  std::string text;
  std::shared_ptr<const RE2> regex;
  /// Whether a part of the text matches: for lines and bodies.
  [[nodiscard]] bool matches(std::string_view in) const {
    return RE2::PartialMatch(re2::StringPiece(in.data(), in.size()), *regex);
  }
  /// Whether the whole name matches, as with the label matchers of Prometheus.
  [[nodiscard]] bool matches_name(std::string_view name) const {
    return RE2::FullMatch(re2::StringPiece(name.data(), name.size()), *regex);
  }
};

}  // namespace vitalsd::net

template <>
struct vitalsd::config::Scalar<vitalsd::net::Pattern> {
  static constexpr std::string_view kName = "regular expression";
  static constexpr bool kPlain = false;
  static Parsed<net::Pattern> parse(std::string_view text);
  static std::string show(const net::Pattern& value) { return value.text; }
};
