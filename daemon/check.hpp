// `vitalsd check`: runs every probe once, in parallel, and prints a verdict for each.
#pragma once

#include "exporter/web/verdict.hpp"

#include <string>
#include <vector>

namespace vitalsd {

std::string check_text(const std::vector<ProbeView>& probes);

enum class CheckFormat : unsigned char { text, json };

/// Runs all probes of the file once, prints the result and ends the process with the verdict as its
/// exit code, as Nagios plugins do. Returns only if the configuration is invalid, with the exit
/// code for that.
int run_check(const std::string& config_file, CheckFormat format);

}  // namespace vitalsd
