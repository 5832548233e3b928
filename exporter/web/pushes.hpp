// The routes for requests that are passed on to probes: which request belongs to which probe, and
// whether it is accepted. No I/O. Web thread only.
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

  /// A request to a route, judged by its header.
  struct Admission {
    WebPush push;                        ///< without the body
    std::size_t max_body = 0;            ///< bytes
    bool has_token = false;              ///< the route has a token, which replaces basic_auth
    std::optional<WebResponse> refusal;  ///< the response if the request is not accepted
  };

  /// Nothing if the request is for no route. The comparison with the token takes the same time for
  /// every token. Requests are limited for each route: those with the token, and separately those
  /// without it, so that nobody can exhaust the limit of the others.
  std::optional<Admission> admit(const WebRequest& request, std::string_view authorization,
                                 Clock::time_point now);

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
  };

  [[nodiscard]] static std::optional<WebResponse> judge(Route& route, const WebRequest& request,
                                                        std::string_view authorization,
                                                        Clock::time_point now);

  std::map<std::string, Route, std::less<>> routes_;  // by path
};

}  // namespace vitalsd
