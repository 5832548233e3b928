#include "probes/net/options.hpp"

#include "probes/net/unix_socket.hpp"

#include <algorithm>
#include <cstddef>

#include <boost/asio/ip/address.hpp>

namespace vitalsd::net {

IpVersion read_ip(config::Node& options, std::string_view source, const std::string& host) {
  const std::string text =
      options.choice("ip", {"any", "4", "6"}, "connect only to addresses of this IP version");
  const IpVersion version = text == "4"   ? IpVersion::v4
                            : text == "6" ? IpVersion::v6
                                          : IpVersion::any;
  check_ip(options, version, source, host);
  if (is_unix(host) && options.has("ip")) options.error("ip", "a Unix socket has no IP address");
  return version;
}

void check_ip(config::Node& options, IpVersion version, std::string_view source,
              const std::string& host) {
  boost::system::error_code not_an_address;
  const auto address = asio::ip::make_address(host, not_an_address);
  if (!not_an_address && !is_of(version, address)) {
    options.error("ip", host + " in " + std::string(source) + " is an IPv" +
                            (address.is_v4() ? "4" : "6") + " address: remove the key 'ip'");
  }
}

std::map<std::string, std::string> read_parameters(config::Node& options, std::string_view query,
                                                   const std::vector<std::string_view>& known) {
  std::map<std::string, std::string> found;
  const bool query_has_at = query.contains('@');
  while (!query.empty()) {
    const std::string_view item = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(item.size() + 1, query.size()));
    const std::size_t equals = std::min(item.find('='), item.size());
    const std::string_view name = item.substr(0, equals);
    const std::string value =
        config::percent_decode(item.substr(std::min(equals + 1, item.size())));
    if (std::ranges::find(known, name) == known.end()) {
      std::string names;
      for (const std::string_view each : known)
        names += (names.empty() ? "" : ", ") + std::string(each);
      // The query may be a part of a password that contains '?'.
      const std::string shown = query_has_at ? "" : ' ' + config::quoted(name);
      options.error("url", "unknown parameter" + shown + ": must be " + names);
    } else if (value.contains('\0')) {
      options.error("url", "%00 is not valid in a parameter");
    } else {
      found[std::string(name)] = value;
    }
  }
  return found;
}

config::Secret read_password(config::Node& options, const config::Url& url, std::string_view key,
                             std::string_view source) {
  const std::string name(key);
  config::Secret password = options.secret(
      key, key == "password" ? "of the user" : "of the user in " + std::string(source));
  if (url.password.empty()) return password;
  if (password) {
    options.error(key, "must not be set together with a password in the URL");
    return password;
  }
  options.warning(source,
                  "a password in a URL is easily disclosed: use " + name + ": {file: PATH}");
  return config::Secret::literal(url.password);
}

}  // namespace vitalsd::net

namespace vitalsd::config {

Parsed<net::Pattern> Scalar<net::Pattern>::parse(std::string_view text) {
  RE2::Options options;
  options.set_log_errors(false);
  auto regex = std::make_shared<const RE2>(re2::StringPiece(text.data(), text.size()), options);
  if (!regex->ok()) {
    return std::unexpected(quoted(text) + " is not a regular expression: " + regex->error());
  }
  return net::Pattern{std::string(text), std::move(regex)};
}

}  // namespace vitalsd::config
