// Reads the threshold of a check from the configuration.
#pragma once

#include "config/node.hpp"
#include "exporter/model/metric.hpp"

#include <optional>
#include <string_view>

namespace vitalsd {

/// Reads a value in the unit of the check: 80%, 24h, 1GiB, 1000. Returns nothing if the key is
/// missing or invalid.
std::optional<double> read_threshold(config::Node& node, std::string_view key, Unit unit,
                                     std::string_view help);

}  // namespace vitalsd
