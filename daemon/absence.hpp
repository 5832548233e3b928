// `vitalsd rules absent`: the alert rules that fire where a documented rule cannot, since the
// series that it reads does not exist. Which series have to exist follows from the configured
// kinds.
#pragma once

#include "probes/probe.hpp"

#include <span>
#include <string>

namespace vitalsd {

/// The rules of these kinds as a rule file of Prometheus, in the order of probe_kinds(); kinds
/// whose series no documented rule reads have none.
std::string absence_rules(std::span<const ProbeKind* const> kinds);

/// Prints the rules of the kinds that `file` configures, or of all kinds where it is empty; 0, or 2
/// where the file has errors.
int print_absence_rules(const std::string& file);

}  // namespace vitalsd
