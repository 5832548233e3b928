// The routes for requests to probes: maps each request to its probe, and decides whether it is
// accepted. No I/O: the caller reads the token. Web thread only.
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

  /// Replaces all routes. A route that existed before keeps its rate limit.
  void set(std::vector<WebRoute> routes);

  /// A request to a route.
  struct Match {
    std::string route;         ///< the path of the route
    WebPush push;              ///< without the body and its headers
    std::size_t max_body = 0;  ///< bytes
  };

  /// Returns nothing if no route matches the request.
  [[nodiscard]] std::optional<Match> find(const WebRequest& request) const;

  /// Returns the function that reads the token of the route with this path. Empty if the route
  /// needs no token or no longer exists.
  [[nodiscard]] WebRoute::ReadToken token_of(std::string_view route) const;

  /// Nothing if the token could not be read.
  using Token = std::optional<std::string>;
  /// Returns the last token that the caller passed to keep_token(), if it must not be read again
  /// yet. Requests without a valid token cause reads, too, so reads are limited for each route. If
  /// nothing is returned, the caller reads the token and calls keep_token().
  std::optional<Token> kept_token(std::string_view route, Clock::time_point now);
  void keep_token(std::string_view route, Token token);

  /// Returns the error response if the request to the route with this path is refused. `token` is
  /// the result of token_of(), nothing if the route needs no token. `has_password` is true if a
  /// request without a token has the password, or needs none. The comparison takes the same time
  /// for every token. The rate of requests is limited for each route, separately for requests with
  /// and without the token or password, so that nobody can use up the limit of the others.
  std::optional<WebResponse> judge(std::string_view route, const std::optional<std::string>& token,
                                   std::string_view method, std::string_view authorization,
                                   bool has_password, Clock::time_point now);

 private:
  // A rate limit: allows a burst of requests, and then a number of requests per second.
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
