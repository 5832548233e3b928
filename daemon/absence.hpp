// `vitalsd rules absent`: prints alert rules for missing series. Documented rules read these series
// and never fire without them. The configured kinds determine which series must exist.
#pragma once

#include "probes/probe.hpp"

#include <span>
#include <string>

namespace vitalsd {

/// The rules for these kinds as a Prometheus rule file, in the order of probe_kinds(). A kind
/// without ProbeKind::documented_series has no rule.
std::string absence_rules(std::span<const ProbeKind* const> kinds);

/// Prints the rules for the kinds that `file` configures, or for all kinds if `file` is empty.
/// Returns the exit code: 0, or 2 if the configuration is invalid.
int print_absence_rules(const std::string& file);

}  // namespace vitalsd
