// `vitalsd check`: runs every probe once, in parallel, and prints a verdict for each.
#pragma once

#include "exporter/web/view.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace vitalsd {

/// Exit codes of `vitalsd check`, the same as those of Nagios plugins. Order of severity: ok,
/// warning, unknown, critical.
enum class Verdict : int { ok = 0, warning = 1, critical = 2, unknown = 3 };

/// The worst status of the run and its checks. A run that failed because of credentials,
/// permissions, the configuration or an internal error is unknown; any other failed run is
/// critical.
Verdict verdict(const ProbeView& probe);
/// The worst verdict of all probes.
Verdict verdict(const std::vector<ProbeView>& probes);

std::string check_text(const std::vector<ProbeView>& probes);
std::string check_json(const std::vector<ProbeView>& probes);

enum class CheckFormat : unsigned char { text, json };

/// Runs all probes of the file once, prints the result and ends the process with the verdict as its
/// exit code. Returns only if the configuration is invalid, with the exit code for that.
int run_check(const std::string& config_file, CheckFormat format);

}  // namespace vitalsd
