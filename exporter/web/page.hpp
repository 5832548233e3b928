// The status page and its JSON. Pure functions.
#pragma once

#include "exporter/web/view.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// What the page shows.
struct Overview {
  std::vector<ProbeView> probes;
  std::string_view version;
  ProbeView::Time now;  ///< dates the ages
  bool healthy = true;  ///< false: the probe loop does not turn, so that all states are old ones
  bool leads = true;    ///< false: another replica observes
};

/// HTML without scripts: a row a probe, failures first.
std::string status_page(const Overview& overview);

/// The same as JSON.
std::string status_json(const Overview& overview);

/// `text` with &, <, > and quotes escaped for HTML.
std::string escape_html(std::string_view text);

}  // namespace vitalsd
