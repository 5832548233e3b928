// The list of all kinds of probes.
#pragma once

#include "probes/probe.hpp"

#include <span>
#include <string_view>
#include <vector>

namespace vitalsd {

/// Every kind, in the order of their names.
std::span<const ProbeKind* const> probe_kinds();

/// Null if no kind has this name.
const ProbeKind* find_kind(std::string_view name);

/// The names, for suggestions.
std::vector<std::string_view> kind_names();

}  // namespace vitalsd
