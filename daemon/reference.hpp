// Commands that print references generated from the declarations in the code, and `vitalsd config
// check`. docs/metrics.md and docs/configuration.md are their output; a test compares them.
#pragma once

#include <string>

namespace vitalsd {

/// Returns all metrics that can be published, by kind: name, labels, type, help. `markdown`: as a
/// Markdown page, otherwise one line each.
std::string metrics_reference(bool markdown);

/// Returns all configuration keys, by section and kind, as a Markdown page.
std::string configuration_reference();

/// Returns the Kubernetes permissions that each kind needs, as YAML, for the Helm chart.
std::string permissions_reference();

/// `vitalsd config check FILE`: prints all problems. Returns 2 if there are errors, or warnings
/// that `strict` makes errors, otherwise 0.
int check_configuration(const std::string& file, bool strict);

}  // namespace vitalsd
