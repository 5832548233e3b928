// The alert rules that fire for a probe, and their runbooks. Pure functions.
#pragma once

#include "exporter/web/view.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// The rule for a check that is not ok. CheckCritical, which fires for every critical check, if the
/// check has no rule of its own; empty if no rule fires.
std::string_view rule_of(const ProbeView& probe, const CheckView& check);

/// The rules that fire for the probe if it stays as it is: of its run and of its checks.
std::vector<std::string_view> failing_rules(const ProbeView& probe);

/// The address of a rule's runbook.
std::string runbook_url(std::string_view rule);

}  // namespace vitalsd
