#include "probes/net/http_route.hpp"

#include "probes/net/options.hpp"

namespace vitalsd::net {

HttpRoute HttpRoute::read(config::Node& options) {
  HttpRoute route;
  route.proxy = options.find<config::Url>(
      "proxy",
      "http://USER@HOST:PORT of an HTTP proxy; environment variables such as HTTP_PROXY are "
      "not used");
  std::optional<config::Url>& proxy = route.proxy;
  route.proxy_password =
      read_password(options, proxy.value_or(config::Url{}), "proxy_password", "proxy");
  route.ip = read_ip(options, "proxy", proxy ? proxy->host : "");
  if (proxy && proxy->scheme != "http") {
    options.error("proxy", "the scheme must be http, not " + config::quoted(proxy->scheme));
  }
  if (proxy && !(proxy->path.empty() || proxy->path == "/")) {
    options.error("proxy", "must have the form http://USER@HOST:PORT");
  }
  if (route.proxy_password && !(proxy && !proxy->user.empty())) {
    options.error("proxy_password", "requires a proxy with a user");
  }
  if (proxy) proxy->password.clear();
  return route;
}

asio::awaitable<void> HttpRoute::apply(HttpRequest& request, ConfiguredFiles& files,
                                       SampleSet& out) const {
  request.proxy = proxy;
  // Most probes have no secret.
  if (proxy_password) request.proxy_password = co_await files.read(proxy_password, out);
  request.ip = ip;
}

}  // namespace vitalsd::net
