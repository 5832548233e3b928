// The pages as JSON, for /api/v1 and `vitalsd check --format json`. Pure functions. Each returns
// one line.
#pragma once

#include "exporter/web/events.hpp"
#include "exporter/web/overview.hpp"
#include "exporter/web/view.hpp"

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// All probes. Readings and thresholds are numbers in the unit of the check; a reading that JSON
/// cannot represent is null.
std::string status_json(const Overview& overview);

/// One probe: what status_json() has of it, and its options, rules and changes of state. `overview`
/// describes the process; its probes are not read. `dropped`: changes that are not kept any more.
std::string probe_json(const Overview& overview, const ProbeView& probe, const ProbeEvents& events,
                       std::size_t dropped = 0);

/// The error for a name that no probe has, with the names that exist. `why`: "is disabled", if the
/// probe is configured.
std::string unknown_probe_json(std::string_view name, const std::vector<ProbeView>& probes,
                               std::string_view why = "");

/// `{"error": TEXT}`.
std::string error_json(std::string_view text);

/// Changes of state.
std::string events_json(const Overview& overview, const EventFeed& feed);

}  // namespace vitalsd
