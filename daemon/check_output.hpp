// What `vitalsd check` prints. Pure functions. The formats print the probes in their order, and
// count those that `shown` does not select, too.
#pragma once

#include "exporter/web/filter.hpp"
#include "exporter/web/view.hpp"

#include <string>
#include <vector>

namespace vitalsd {

/// A line for each probe, failure, check and line of a message, and the counts. `colored`: with
/// ANSI escape sequences.
std::string check_text(const std::vector<ProbeView>& probes, const ProbeFilter& shown = {},
                       bool colored = false);

/// The output of a Nagios plugin: the verdict with the counts as performance data, and a line for
/// each problem.
std::string check_nagios(const std::vector<ProbeView>& probes, const ProbeFilter& shown = {});

/// A Markdown table, one row for each probe, and the counts.
std::string check_markdown(const std::vector<ProbeView>& probes, const ProbeFilter& shown = {});

}  // namespace vitalsd
