// The page of one probe, and the page of the changes of state. Pure functions.
#pragma once

#include "exporter/web/events.hpp"
#include "exporter/web/overview.hpp"
#include "exporter/web/view.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// HTML without scripts: what is known about one probe. `overview` describes the process; its
/// probes are not read. `events` are those of the probe, without `dropped` older ones.
std::string probe_page(const Overview& overview, const ProbeView& probe, const ProbeEvents& events,
                       std::size_t dropped = 0);

/// HTML for a name that no probe has, with links to those that exist. `why`: "is disabled", if the
/// probe is configured.
std::string unknown_probe_page(std::string_view name, const std::vector<ProbeView>& probes,
                               std::string_view why = "");

/// HTML: the changes that the filter of `overview` selects.
std::string events_page(const Overview& overview, const EventFeed& feed);

}  // namespace vitalsd
