#include "probes/net/http_access.hpp"

#include "probes/net/options.hpp"

namespace vitalsd::net {

HttpAccess HttpAccess::read(config::Node& options, std::string_view url_help) {
  HttpAccess access;
  access.url = options.required<config::Url>("url", url_help);
  access.proxy = options.find<config::Url>(
      "proxy",
      "http://USER@HOST:PORT of an HTTP proxy; environment variables such as HTTP_PROXY are "
      "not used");
  access.proxy_password =
      read_password(options, access.proxy.value_or(config::Url{}), "proxy_password", "proxy");
  access.ip = read_ip(options, access.proxy ? "proxy" : "url",
                      access.proxy ? access.proxy->host : access.url.host);
  access.tls = TlsOptions::read(options);
  access.user = access.url.user;
  access.password = read_password(options, access.url);
  access.bearer = options.secret("bearer_token", "sent as Authorization: Bearer");
  if (const auto user = options.find<std::string>("user", "user for basic authentication"))
    access.user = *user;
  const std::string& scheme = access.url.scheme;
  if (!access.url.host.empty() && scheme != "http" && scheme != "https") {
    options.error("url", "the scheme must be http or https, not " + config::quoted(scheme));
  }
  if (access.bearer && !access.user.empty())
    options.error("bearer_token", "user and bearer_token must not be set together");
  if (access.password && access.user.empty()) options.error("password", "requires user");
  if (access.proxy && access.proxy->scheme != "http") {
    options.error("proxy", "the scheme must be http, not " + config::quoted(access.proxy->scheme));
  }
  if (access.proxy && !(access.proxy->path.empty() || access.proxy->path == "/")) {
    options.error("proxy", "must have the form http://USER@HOST:PORT");
  }
  if (access.proxy_password && !(access.proxy && !access.proxy->user.empty())) {
    options.error("proxy_password", "requires a proxy with a user");
  }
  access.url.user.clear();
  access.url.password.clear();
  if (access.proxy) access.proxy->password.clear();
  return access;
}

asio::awaitable<HttpRequest> HttpAccess::request(ConfiguredFiles& files, SampleSet& out) const {
  HttpRequest request;
  request.url = url;
  request.proxy = proxy;
  // Most probes have no secret.
  if (proxy_password) request.proxy_password = co_await files.read(proxy_password, out);
  request.ip = ip;
  request.tls = tls;
  request.user = user;
  if (password) request.password = co_await files.read(password, out);
  if (bearer) request.bearer = co_await files.read(bearer, out);
  co_return request;
}

std::string HttpAccess::target() const {
  config::Url shown = url;
  shown.query.clear();
  return shown.text() + (url.query.empty() ? "" : "?…");
}

std::string HttpAccess::endpoint() const { return config::Endpoint{url.host, port_of(url)}.text(); }

}  // namespace vitalsd::net
