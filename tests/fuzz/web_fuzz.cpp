// Headers and paths of HTTP requests.
#include "exporter/web/password.hpp"
#include "exporter/web/pushes.hpp"
#include "exporter/web/routes.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  static const Exposition exposition;
  WebOptions options;
  options.exposition = &exposition;
  options.self_metrics = [] { return std::vector<Exposition::Extra>(); };
  options.probes = [] { return std::vector<ProbeView>(); };
  // Each name is that of a probe, except for an empty one.
  options.probe = [](std::string_view name) -> std::optional<ProbeView> {
    if (name.empty()) return std::nullopt;
    ProbeView view;
    view.name = name;
    return view;
  };
  options.events = [](std::string_view) { return ProbeEvents(); };
  options.healthy = options.ready = [] { return true; };
  options.on_scrape = [](auto, auto, auto) {};
  const std::size_t half = text.size() / 2;
  respond(options, {"GET", text, "", ""});
  for (const char* path : {"/probes/", "/api/v1/probes/", "/events?", "/api/v1/events?"}) {
    const std::string target = path + std::string(text);
    respond(options, {"GET", target, "", ""});
  }
  respond(options, {"GET", "/metrics", text.substr(0, half), text.substr(half)});
  Pushes pushes;
  WebRoute route{.path = "/api/v1/jobs/n", .probe = "n", .max_body = 1, .token = {}};
  pushes.set({route});
  if (const auto match = pushes.find({"POST", text, "", ""})) {
    pushes.judge(match->route, "token", "POST", text.substr(half), true, {});
  }
  decode_base64(text);
  return 0;
}
