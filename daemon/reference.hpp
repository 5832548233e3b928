// Commands that tell about vitalsd itself, from the declarations in the code: nothing here can be
// out of date.
#pragma once

#include <string>

namespace vitalsd {

/// `vitalsd metrics`: name, type, labels and help of every metric, by kind. Always 0.
int list_metrics();

/// `vitalsd config check FILE`: prints all problems; 0, or 2 where there are errors.
int check_configuration(const std::string& file);

}  // namespace vitalsd
