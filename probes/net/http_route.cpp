#include "probes/net/http_route.hpp"

#include "config/endpoint.hpp"
#include "probes/net/options.hpp"

#include <string>
#include <string_view>

namespace vitalsd {
namespace {

// A URL with errors that say how to write the one of a proxy.
struct ProxyUrl : config::Url {};

constexpr const char* kForm = "must have the form http://USER@HOST:PORT";

}  // namespace

template <>
struct config::Scalar<ProxyUrl> {
  static constexpr std::string_view kName = Scalar<Url>::kName;
  static constexpr bool kPlain = Scalar<Url>::kPlain;
  static std::string show(const ProxyUrl& value) { return value.text(); }
  static Parsed<ProxyUrl> parse(std::string_view text) {
    const Parsed<Url> url = Scalar<Url>::parse(text);
    if (url) return ProxyUrl{*url};
    if (text.contains("://")) return std::unexpected(url.error());
    const Parsed<Url> with_scheme = Scalar<Url>::parse("http://" + std::string(text));
    // The text before '@' may contain a password.
    if (!with_scheme || with_scheme->port == 0 || text.contains('@')) return std::unexpected(kForm);
    return std::unexpected("the URL has no scheme: write http://" +
                           Endpoint{with_scheme->host, with_scheme->port}.text());
  }
};

namespace net {

HttpRoute HttpRoute::read(config::Node& options) {
  HttpRoute route;
  route.proxy = options.find<ProxyUrl>(
      "proxy",
      "http://USER@HOST:PORT of an HTTP proxy; environment variables such as HTTP_PROXY are "
      "not used");
  std::optional<config::Url>& proxy = route.proxy;
  route.proxy_password =
      read_password(options, proxy.value_or(config::Url{}), "proxy_password", "proxy");
  route.ip = read_ip(options, "proxy", proxy ? proxy->host : "");
  if (proxy && proxy->scheme != "http") {
    options.error("proxy", "the scheme must be http, not " + config::quoted(proxy->scheme));
  } else if (proxy && proxy->port == 0) {
    // Tools disagree on a default: 80, 1080 or 3128.
    options.error("proxy", "the URL has no port: write for example http://" +
                               config::Endpoint{proxy->host, 3128}.text());
  }
  if (proxy && !(proxy->path.empty() || proxy->path == "/")) options.error("proxy", kForm);
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

}  // namespace net
}  // namespace vitalsd
