#include "probes/net/http_proxy.hpp"

#include "config/endpoint.hpp"
#include "probes/net/http_client.hpp"

#include <string>

namespace vitalsd::net {

namespace {

std::string name_of(const config::Url& proxy) {
  return config::Endpoint{proxy.host, port_of(proxy)}.text();
}

// What to do about status 407.
std::string credentials_hint(const config::Url& proxy) {
  if (proxy.user.empty()) {
    return "it requires credentials: set a user in proxy, and proxy_password";
  }
  return "it does not accept the user of proxy with proxy_password, or basic authentication";
}

}  // namespace

ProbeError through_proxy(const config::Url& proxy, const ProbeError& error) {
  const std::string name = name_of(proxy);
  const std::string detail = error.what();
  if (detail.contains("the proxy")) return error;
  if (detail.starts_with(name + ':') || detail.starts_with(proxy.host + ':')) {
    return {error.reason(), "the proxy " + detail};
  }
  return {error.reason(), "through the proxy " + name + ": " + detail};
}

ProbeError about_response(const config::Url& url, const std::optional<config::Url>& proxy,
                          const ProbeError& error) {
  const bool is_tunnel = url.scheme == "https";
  return proxy && !is_tunnel ? through_proxy(*proxy, error) : error;
}

// If the proxy refuses the client, the state of the target is unknown.
ProbeError proxy_refusal(const config::Url& proxy, long status) {
  const std::string detail =
      "the proxy " + name_of(proxy) + " refuses the request: status " + std::to_string(status);
  if (status != kProxyAuthenticationRequired) return {Reason::connect, detail};
  return {Reason::auth, detail + ", " + credentials_hint(proxy)};
}

}  // namespace vitalsd::net
