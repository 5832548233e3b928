// Commands that tell about vitalsd itself, from the declarations in the code: nothing here can be
// out of date. docs/metrics.md and docs/configuration.md are their output, and a test compares
// them.
#pragma once

#include <string>

namespace vitalsd {

/// Every metric that can be published, by kind: name, labels, type, help. `markdown`: as a page.
std::string metrics_reference(bool markdown);

/// Every configuration key, by section and kind, as a Markdown page.
std::string configuration_reference();

/// `vitalsd config check FILE`: prints all problems; 0, or 2 where there are errors.
int check_configuration(const std::string& file);

}  // namespace vitalsd
