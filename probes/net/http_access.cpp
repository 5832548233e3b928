#include "probes/net/http_access.hpp"

#include "probes/net/http_secrets.hpp"
#include "probes/net/options.hpp"

#include <utility>

namespace vitalsd::net {

HttpAccess HttpAccess::read(config::Node& options, std::string_view url_help) {
  HttpAccess access;
  access.url = options.required<config::Url>("url", url_help);
  access.read_keys(options, {{"url", access.url}}, kUserHelp);
  access.url.user.clear();
  access.url.password.clear();
  return access;
}

HttpAccess HttpAccess::read_with_urls(config::Node& options, std::initializer_list<UrlOption> urls,
                                      std::string_view user_help) {
  HttpAccess access;
  for (const UrlOption& option : urls) {
    for (const config::Url& each : option.urls) {
      if (each.user.empty() && each.password.empty()) continue;
      options.error(option.key,
                    "must not have a user or a password: use the keys user and password");
    }
  }
  access.read_keys(options, urls, user_help);
  return access;
}

// Reads all keys except `url`.
void HttpAccess::read_keys(config::Node& options, std::initializer_list<UrlOption> urls,
                           std::string_view user_help) {
  static_cast<HttpRoute&>(*this) = HttpRoute::read(options);
  tls = TlsOptions::read(options);
  user = url.user;
  password = read_password(options, url);
  bearer = options.secret("bearer_token", "sent as Authorization: Bearer");
  if (const auto name = options.find<std::string>("user", user_help)) user = *name;
  for (const UrlOption& option : urls) {
    for (const config::Url& each : option.urls) {
      if (each.host.empty()) continue;  // reported already
      if (each.scheme != "http" && each.scheme != "https") {
        options.error(option.key,
                      "the scheme must be http or https, not " + config::quoted(each.scheme));
      }
      check_ip(options, target_ip(), option.key, each.host);
    }
  }
  if (bearer && !user.empty())
    options.error("bearer_token", "user and bearer_token must not be set together");
  if (password && user.empty()) options.error("password", "requires user");
}

asio::awaitable<HttpRequest> HttpAccess::request(ConfiguredFiles& files, SampleSet& out) const {
  HttpRequest request;
  request.url = url;
  co_await apply(request, files, out);
  request.tls = tls;
  request.user = user;
  // Most probes have no secret.
  if (password) request.password = co_await files.read(password, out);
  if (bearer) request.bearer = co_await files.read(bearer, out);
  // Also for the run of a kind that gives HttpClient another sample set.
  conceal_secrets(request, out);
  co_return request;
}

std::string HttpAccess::endpoint() const { return config::Endpoint{url.host, port_of(url)}.text(); }

std::string shown(config::Url url) {
  const bool has_query = !url.query.empty();
  url.query.clear();
  return url.text() + (has_query ? "?…" : "");
}

}  // namespace vitalsd::net
