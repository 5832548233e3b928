// The status page. Pure functions.
#pragma once

#include "exporter/web/overview.hpp"

#include <string>

namespace vitalsd {

/// HTML without scripts: one row per probe, the most severe verdict first.
std::string status_page(const Overview& overview);

/// An SVG image in the color of the verdict.
std::string favicon(Verdict verdict);

}  // namespace vitalsd
