// The options of kinds that send requests to one HTTP server: its URL, TLS and the credentials.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/tls.hpp"

#include <string>
#include <string_view>

namespace vitalsd::net {

struct HttpAccess {
  config::Url url;  ///< without user and password
  TlsOptions tls;
  std::string user;
  config::Secret password;
  config::Secret bearer;

  /// Reads `url`, `tls`, `user`, `password` and `bearer_token`.
  static HttpAccess read(config::Node& options, std::string_view url_help);

  /// A request to the URL with the credentials. Throws ProbeError(config) if a secret cannot be
  /// read.
  [[nodiscard]] HttpRequest request() const;

  /// The URL as the status page shows it: without the query, which may contain tokens.
  [[nodiscard]] std::string target() const;
  /// host:port.
  [[nodiscard]] std::string endpoint() const;
};

}  // namespace vitalsd::net
