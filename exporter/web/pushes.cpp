#include "exporter/web/pushes.hpp"

#include "exporter/web/password.hpp"

#include <algorithm>
#include <utility>

#include <openssl/crypto.h>

namespace vitalsd {
namespace {

WebResponse refuse(int status, std::string text) {
  WebResponse response;
  response.status = status;
  response.body = std::move(text);
  response.route = "/push";
  return response;
}

// "Bearer x" -> "x". Empty if the header has another scheme.
std::string_view bearer_token(std::string_view authorization) {
  constexpr std::string_view kScheme = "Bearer ";
  if (!equals_ignoring_case(authorization.substr(0, kScheme.size()), kScheme)) return {};
  return authorization.substr(kScheme.size());
}

// Compares digests, so the time of a comparison reveals neither the length nor a common prefix.
bool is_same(std::string_view a, std::string_view b) {
  const std::string one = sha256(a);
  const std::string other = sha256(b);
  return CRYPTO_memcmp(one.data(), other.data(), one.size()) == 0;
}

}  // namespace

bool Pushes::Budget::take(Clock::time_point now) {
  const double passed = std::chrono::duration<double>(now - at_).count();
  left_ = std::min(kBurst, left_ + std::max(passed, 0.0) * kPerSecond);
  at_ = now;
  if (left_ < 1) return false;
  left_ -= 1;
  return true;
}

void Pushes::set(std::vector<WebRoute> routes) {
  std::map<std::string, Route, std::less<>> next;
  for (WebRoute& options : routes) {
    const auto old = routes_.find(options.path);
    Route& route = next[options.path];
    if (old != routes_.end()) route = std::move(old->second);
    route.options = std::move(options);
    route.token.reset();
  }
  routes_ = std::move(next);
}

std::optional<Pushes::Match> Pushes::find(const WebRequest& request) const {
  // A route matches its path and all paths below it. The path of a route has at most this many
  // parts.
  constexpr int kMaxParts = 8;
  const std::string_view path = path_of(request.target);
  std::size_t end = 0;
  auto found = routes_.end();
  for (int part = 0; part < kMaxParts && end < path.size() && found == routes_.end(); ++part) {
    end = std::min(path.find('/', end + 1), path.size());
    found = routes_.find(path.substr(0, end));
  }
  if (found == routes_.end()) return std::nullopt;
  const WebRoute& route = found->second.options;
  const std::size_t query = request.target.find('?');
  return Match{
      .route = route.path,
      .push = {.probe = route.probe,
               .method = std::string(request.method),
               .route = route.path,
               .path = std::string(path.substr(end)),
               .query = query == std::string_view::npos
                            ? std::string()
                            : std::string(request.target.substr(query + 1)),
               .content_type = {},
               .content_encoding = {},
               .body = {}},
      .max_body = route.max_body,
  };
}

WebRoute::ReadToken Pushes::token_of(std::string_view route) const {
  const auto found = routes_.find(route);
  return found == routes_.end() ? nullptr : found->second.options.token;
}

std::optional<Pushes::Token> Pushes::kept_token(std::string_view route, Clock::time_point now) {
  const auto found = routes_.find(route);
  if (found == routes_.end() || found->second.reads.take(now)) return std::nullopt;
  return found->second.token;
}

void Pushes::keep_token(std::string_view route, Token token) {
  const auto found = routes_.find(route);
  if (found != routes_.end()) found->second.token = std::move(token);
}

std::optional<WebResponse> Pushes::judge(std::string_view path,
                                         const std::optional<std::string>& token,
                                         std::string_view method, std::string_view authorization,
                                         bool has_password, Clock::time_point now) {
  const auto found = routes_.find(path);
  // The routes were replaced after the request was matched.
  if (found == routes_.end()) return unknown_job();
  Route& route = found->second;
  const bool authorized = token ? !token->empty() && is_same(bearer_token(authorization), *token)
                                : route.options.token == nullptr && has_password;
  if (!(authorized ? route.accepted : route.refused).take(now)) {
    WebResponse response = refuse(429, "Too many requests for this route.\n");
    response.headers.emplace_back("Retry-After", "1");
    return response;
  }
  if (!authorized && !has_password) return unauthorized();
  if (!authorized) {
    WebResponse response =
        refuse(401, "Send the token of this route: 'Authorization: Bearer TOKEN'.\n");
    response.headers.emplace_back("WWW-Authenticate", "Bearer realm=\"vitalsd\"");
    return response;
  }
  const std::vector<std::string>& methods = route.options.methods;
  if (std::ranges::find(methods, method) == methods.end()) {
    std::string list = methods.front();
    for (std::size_t i = 1; i < methods.size(); ++i) list += ", " + methods[i];
    WebResponse response = refuse(405, "Use " + list + ".\n");
    response.headers.emplace_back("Allow", std::move(list));
    return response;
  }
  return std::nullopt;
}

}  // namespace vitalsd
