// The status page and its JSON. Pure functions.
#pragma once

#include "exporter/web/view.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// The content of the page.
struct Overview {
  std::vector<ProbeView> probes;
  std::string_view version;
  ProbeView::Time now;  ///< all ages are relative to this time
  bool healthy = true;  ///< false: the probe loop does not respond, so all states are stale
  bool leads = true;    ///< false: another replica is the leader
  std::vector<std::string> notices{};  ///< problems of the process itself
};

/// HTML without scripts: one row per probe, failures first.
std::string status_page(const Overview& overview);

/// The overview as JSON.
std::string status_json(const Overview& overview);

/// `text` with &, <, > and quotes escaped for HTML.
std::string escape_html(std::string_view text);

}  // namespace vitalsd
