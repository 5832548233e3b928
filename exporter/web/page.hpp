// The status page and its JSON. Pure functions.
#pragma once

#include "exporter/web/view.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// HTML without scripts: a row a probe, failures first. `now` dates the ages.
std::string status_page(const std::vector<ProbeView>& probes, std::string_view version,
                        ProbeView::Time now);

/// The same as JSON.
std::string status_json(const std::vector<ProbeView>& probes, std::string_view version,
                        ProbeView::Time now);

/// `text` with &, <, > and quotes escaped for HTML.
std::string escape_html(std::string_view text);

}  // namespace vitalsd
