// The routes for requests that are passed on to probes: which request belongs to which probe, and
// whether it is accepted. No I/O: the caller reads the token. Web thread only.
#pragma once

#include "exporter/web/options.hpp"
#include "exporter/web/routes.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

class Pushes {
 public:
  using Clock = std::chrono::steady_clock;

  /// Replaces all routes. A route that stays keeps its limit of requests.
  void set(std::vector<WebRoute> routes);

  /// A request to a route.
  struct Match {
    std::string route;         ///< the path of the route
    WebPush push;              ///< without the body and its headers
    std::size_t max_body = 0;  ///< bytes
  };

  /// Nothing if the request is for no route.
  [[nodiscard]] std::optional<Match> find(const WebRequest& request) const;

  /// How to read the token of the route of this path. Empty if it needs none, or is gone.
  [[nodiscard]] WebRoute::ReadToken token_of(std::string_view route) const;

  /// Nothing if the token could not be read.
  using Token = std::optional<std::string>;
  /// What token_of() has read last, if it must not be read again now: anybody can cause a read, so
  /// reads are limited for each route. Nothing: read it, and call keep_token().
  std::optional<Token> kept_token(std::string_view route, Clock::time_point now);
  void keep_token(std::string_view route, Token token);

  /// The response if the request to the route of this path is not accepted. `token` is what
  /// token_of() has read, nothing if it was empty. `has_password`: whether a request without a
  /// token has the password, or needs none. The comparison takes the same time for every token.
  /// Requests are limited for each route: those with the token or password, and separately those
  /// without it, so that nobody can exhaust the limit of the others.
  std::optional<WebResponse> judge(std::string_view route, const std::optional<std::string>& token,
                                   std::string_view method, std::string_view authorization,
                                   bool has_password, Clock::time_point now);

 private:
  // A number of requests at once, and then some each second.
  class Budget {
   public:
    bool take(Clock::time_point now);

   private:
    static constexpr double kBurst = 20;
    static constexpr double kPerSecond = 2;
    double left_ = kBurst;
    Clock::time_point at_{};
  };
  struct Route {
    WebRoute options;
    Budget accepted{};
    Budget refused{};
    Budget reads{};
    Token token{};
  };

  std::map<std::string, Route, std::less<>> routes_;  // by path
};

}  // namespace vitalsd
