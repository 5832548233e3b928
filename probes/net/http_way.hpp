// The options of the way to an HTTP server: directly or through a proxy, and the IP version.
#pragma once

#include "config/node.hpp"
#include "config/secret.hpp"
#include "config/url.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/resolver.hpp"

#include <optional>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

struct HttpWay {
  std::optional<config::Url> proxy;  ///< without the password
  config::Secret proxy_password;
  IpVersion ip = IpVersion::any;

  /// Reads `proxy`, `proxy_password` and `ip`.
  static HttpWay read(config::Node& options);

  /// Sends `request` this way. Throws the exceptions of ConfiguredFiles::read().
  asio::awaitable<void> apply(HttpRequest& request, ConfiguredFiles& files, SampleSet& out) const;

  /// The addresses to which a name in a URL resolves: `ip` is that of the proxy, if there is one.
  [[nodiscard]] IpVersion target_ip() const { return proxy ? IpVersion::any : ip; }
};

}  // namespace vitalsd::net
