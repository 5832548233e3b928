// The options of kinds that send requests to HTTP servers: the URL, the proxy, TLS and the
// credentials.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_route.hpp"
#include "probes/net/tls.hpp"

#include <initializer_list>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

/// The URL without its query, which may contain tokens.
std::string shown(config::Url url);

/// An option of one or several URLs, which the kind has read.
struct UrlOption {
  UrlOption(std::string_view with_key, std::span<const config::Url> all)
      : key(with_key), urls(all) {}
  UrlOption(std::string_view with_key, const config::Url& url)
      : UrlOption(with_key, std::span(&url, 1)) {}
  UrlOption(std::string_view with_key, const std::optional<config::Url>& url)
      : UrlOption(with_key, url ? std::span(&*url, 1) : std::span<const config::Url>()) {}

  std::string_view key;
  std::span<const config::Url> urls;  ///< of the kind
};

struct HttpAccess : HttpRoute {
  config::Url url;  ///< without user and password; empty after read_with_urls()
  TlsOptions tls;
  std::string user;
  config::Secret password;
  config::Secret bearer;

  /// Reads `url`, `proxy`, `proxy_password`, `ip`, `tls`, `user`, `password` and `bearer_token`.
  static HttpAccess read(config::Node& options, std::string_view url_help);

  /// For a kind with several URLs: checks them, and reads the same keys without `url`. The
  /// credentials are those for all URLs, so a user in one of them is an error.
  static HttpAccess read_with_urls(config::Node& options, std::initializer_list<UrlOption> urls,
                                   std::string_view user_help = kUserHelp);

  /// Creates a request to the URL with the credentials, which `out` then conceals. Throws the
  /// exceptions of ConfiguredFiles::read().
  [[nodiscard]] asio::awaitable<HttpRequest> request(ConfiguredFiles& files, SampleSet& out) const;

  [[nodiscard]] bool has_credentials() const { return bearer || !user.empty(); }
  /// The URL as the status page shows it.
  [[nodiscard]] std::string target() const { return shown(url); }
  /// host:port.
  [[nodiscard]] std::string endpoint() const;

 private:
  static constexpr std::string_view kUserHelp = "user for basic authentication";

  void read_keys(config::Node& options, std::initializer_list<UrlOption> urls,
                 std::string_view user_help);
};

}  // namespace vitalsd::net
