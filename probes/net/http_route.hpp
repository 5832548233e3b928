// How requests reach an HTTP server: directly or through a proxy, and over which IP version.
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

struct HttpRoute {
  std::optional<config::Url> proxy;  ///< without the password
  config::Secret proxy_password;
  IpVersion ip = IpVersion::any;

  /// Reads `proxy`, `proxy_password` and `ip`.
  static HttpRoute read(config::Node& options);

  /// Sets the proxy and the IP version of `request`. Throws the exceptions of
  /// ConfiguredFiles::read().
  asio::awaitable<void> apply(HttpRequest& request, ConfiguredFiles& files, SampleSet& out) const;

  /// The IP version for the target's host. With a proxy it is `any`: `ip` applies to the proxy.
  [[nodiscard]] IpVersion target_ip() const { return proxy ? IpVersion::any : ip; }
};

}  // namespace vitalsd::net
