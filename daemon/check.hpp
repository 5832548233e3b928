// `vitalsd check`: one run of every probe, in parallel, and a verdict on each: what the operators'
// morning scripts print.
#pragma once

#include "exporter/web/view.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace vitalsd {

/// Exit codes of `vitalsd check`, as Nagios has them; the greater, the worse, but unknown lies
/// between warning and critical.
enum class Verdict : int { ok = 0, warning = 1, critical = 2, unknown = 3 };

/// What a probe came to: its run and its checks together. A run that could not look (credentials,
/// rights, our own fault) is unknown, any other that failed is critical.
Verdict verdict(const ProbeView& probe);
/// The worst of all.
Verdict verdict(const std::vector<ProbeView>& probes);

std::string check_text(const std::vector<ProbeView>& probes);
std::string check_json(const std::vector<ProbeView>& probes);

enum class CheckFormat : unsigned char { text, json };

/// Runs all probes of the file once and prints the result; the process's exit code.
int run_check(const std::string& config_file, CheckFormat format);

}  // namespace vitalsd
