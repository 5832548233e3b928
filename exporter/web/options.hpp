// What the web server needs from the rest of the daemon, as plain values and functions. The
// functions are called on the web thread and must not wait for the probe loop.
#pragma once

#include "exporter/model/exposition.hpp"
#include "exporter/web/view.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

struct WebOptions {
  std::string address = "0.0.0.0";
  std::uint16_t port = 0;  ///< 0: any free one

  // Files of HTTPS; empty: plain HTTP. They are read anew when they change.
  std::string certificate;
  std::string key;
  std::string client_ca;
  /// Users and bcrypt hashes; empty: no authentication. Health pages never ask for any.
  std::vector<std::pair<std::string, std::string>> basic_auth;

  std::string version;

  const Exposition* exposition = nullptr;
  std::function<std::vector<Exposition::Extra>()> self_metrics;
  std::function<std::vector<ProbeView>()> probes;
  std::function<bool()> healthy;  ///< whether the probe loop turns
  std::function<bool()> ready;
  /// Whether what was observed may be published; a replica that stands by only has series of its
  /// own. Empty: always.
  std::function<bool()> leads;

  /// Starts a reload and calls back, on any thread, with whether it worked and a text. Empty: POST
  /// /-/reload is not answered.
  using ReloadDone = std::function<void(bool, std::string)>;
  std::function<void(ReloadDone)> reload;

  std::function<void(std::string_view route, int status)> on_request;
  std::function<void(std::chrono::duration<double>, std::size_t bytes)> on_scrape;

  // Limits on what a client may cost.
  std::size_t max_connections = 256;
  std::size_t max_large_pages = 8;  ///< that are sent at once and not read at once
  std::size_t max_header_bytes = 16 * 1024;
  std::chrono::milliseconds request_timeout{10'000};  ///< for a whole request to arrive
  std::chrono::milliseconds idle_timeout{120'000};    ///< between requests
  std::chrono::milliseconds response_timeout{60'000};
  std::chrono::milliseconds slow_page{1'000};  ///< from then on it makes room for another one
};

}  // namespace vitalsd
