// The options of kinds that send requests to one HTTP server: its URL, the proxy, TLS and the
// credentials.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/tls.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

struct HttpAccess {
  config::Url url;                   ///< without user and password
  std::optional<config::Url> proxy;  ///< without the password
  config::Secret proxy_password;
  IpVersion ip = IpVersion::any;
  TlsOptions tls;
  std::string user;
  config::Secret password;
  config::Secret bearer;

  /// Reads `url`, `proxy`, `proxy_password`, `ip`, `tls`, `user`, `password` and `bearer_token`.
  static HttpAccess read(config::Node& options, std::string_view url_help);

  /// Creates a request to the URL with the credentials. Throws the exceptions of
  /// ConfiguredFiles::read().
  [[nodiscard]] asio::awaitable<HttpRequest> request(ConfiguredFiles& files, SampleSet& out) const;

  /// The URL as the status page shows it: without the query, which may contain tokens.
  [[nodiscard]] std::string target() const;
  /// host:port.
  [[nodiscard]] std::string endpoint() const;
};

}  // namespace vitalsd::net
