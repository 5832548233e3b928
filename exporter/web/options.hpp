// The web server's configuration and its access to the rest of the daemon, as plain values and
// functions. The web thread calls the functions; they must not wait for the probe loop.
#pragma once

#include "exporter/model/exposition.hpp"
#include "exporter/web/events.hpp"
#include "exporter/web/view.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

/// A path for requests that are passed on to a probe: those to the path and to all paths below it.
struct WebRoute {
  std::string path;          ///< "/api/v1/jobs/nightly"
  std::string probe;         ///< the name of the probe
  std::size_t max_body = 0;  ///< bytes
  std::vector<std::string> methods{"POST"};
  /// Reads the bearer token that every request must have. Calls back on any thread with whether it
  /// is known and the token or the error, or never. Empty: requests need no token.
  using TokenDone = std::function<void(bool, std::string)>;
  using ReadToken = std::function<void(TokenDone)>;
  ReadToken token;
};

/// A request to a route.
struct WebPush {
  std::string probe;
  std::string method;
  std::string route;  ///< the path of the route
  std::string path;   ///< behind the path of the route: "/start"; may be empty
  std::string query;  ///< behind the "?"; as the client sent it
  std::string content_type;
  std::string content_encoding;
  std::string body;
};

struct WebOptions {
  std::string address = "0.0.0.0";
  std::uint16_t port = 0;  ///< 0: any free port

  // PEM files for HTTPS; empty: plain HTTP. They are read again when they change.
  std::string certificate;
  std::string key;
  std::string client_ca;
  /// Users and bcrypt hashes; empty: no authentication. /-/healthy and /-/ready never require it.
  std::vector<std::pair<std::string, std::string>> basic_auth;

  std::string version;

  const Exposition* exposition = nullptr;
  std::function<std::vector<Exposition::Extra>()> self_metrics;
  std::function<std::vector<ProbeView>()> probes;
  /// One of them; nothing if no probe has this name.
  std::function<std::optional<ProbeView>(std::string_view name)> probe;
  /// Why a configured probe is not one of `probes`: "is disabled"; otherwise empty. Empty: no
  /// reasons.
  std::function<std::string(std::string_view name)> why_absent;
  /// The last changes of state of a probe, or of all probes if the name is empty.
  std::function<ProbeEvents(std::string_view name)> events;
  /// The number of changes of a probe that were dropped, so that `events` lacks them. Empty: none.
  std::function<std::size_t(std::string_view name)> dropped_events;
  std::function<std::vector<std::string>()> notices;  ///< for the status page; empty: none
  std::function<bool()> healthy;                      ///< whether the probe loop responds
  std::function<bool()> ready;
  /// Whether this replica is the leader, which publishes the series of its probes. A standby
  /// replica publishes its own metrics only. If the function is empty, this process is always the
  /// leader.
  std::function<bool()> leads;

  /// Starts a reload. Calls back on any thread. The arguments of the callback: whether the reload
  /// succeeded, and the text of the response. If the function is empty, POST /-/reload is disabled.
  using ReloadDone = std::function<void(bool, std::string)>;
  std::function<void(ReloadDone)> reload;

  /// Passes a request to its probe. The callback is called on any thread with the status and the
  /// text of the response, or never. The function is empty if there are never any routes.
  using PushDone = std::function<void(int, std::string)>;
  std::function<void(WebPush, PushDone)> push;

  std::function<void(std::string_view route, int status)> on_request;
  std::function<void(std::string_view route, std::chrono::duration<double>, std::size_t bytes)>
      on_scrape;

  // Limits for all clients together.
  std::size_t max_connections = 256;
  std::size_t max_large_pages = 8;  ///< pages over 1 MiB to slow clients at the same time
  std::size_t max_header_bytes = 16 * 1024;
  std::chrono::milliseconds request_timeout{10'000};  ///< until a request is complete
  std::chrono::milliseconds idle_timeout{120'000};    ///< between requests
  std::chrono::milliseconds response_timeout{60'000};
  std::chrono::milliseconds slow_page{
      1'000};  ///< older connections are cancelled when a new page needs their place
};

}  // namespace vitalsd
