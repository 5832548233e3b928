// The overview as JSON, for /api/v1/status and `vitalsd check --format json`. Pure.
#pragma once

#include "exporter/web/overview.hpp"

#include <string>

namespace vitalsd {

/// One line. Readings and thresholds are numbers in the unit of the check; a reading that JSON
/// cannot represent is null.
std::string status_json(const Overview& overview);

}  // namespace vitalsd
