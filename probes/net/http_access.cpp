#include "probes/net/http_access.hpp"

#include "probes/error.hpp"
#include "probes/net/options.hpp"

namespace vitalsd::net {

HttpAccess HttpAccess::read(config::Node& options, std::string_view url_help) {
  HttpAccess access;
  access.url = options.required<config::Url>("url", url_help);
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
    options.error("bearer_token", "user and bearer_token cannot both be set");
  if (access.password && access.user.empty()) options.error("password", "requires user");
  access.url.user.clear();
  access.url.password.clear();
  return access;
}

HttpRequest HttpAccess::request() const {
  HttpRequest request;
  request.url = url;
  request.tls = tls;
  request.user = user;
  const auto password_text = password.read();
  const auto bearer_text = bearer.read();
  if (!password_text) throw ProbeError(Reason::config, password_text.error());
  if (!bearer_text) throw ProbeError(Reason::config, bearer_text.error());
  request.password = *password_text;
  request.bearer = *bearer_text;
  return request;
}

std::string HttpAccess::target() const {
  config::Url shown = url;
  shown.query.clear();
  return shown.text() + (url.query.empty() ? "" : "?…");
}

std::string HttpAccess::endpoint() const { return config::Endpoint{url.host, port_of(url)}.text(); }

}  // namespace vitalsd::net
