// `vitalsd init`: writes a starter configuration from what it finds where it runs: the environment,
// the Kubernetes credentials, the mounted disks. It contains no secret.
#pragma once

#include <string>

namespace vitalsd {

/// Prints the configuration, or writes it to `file`, which must not exist, if the name is not
/// empty. Returns 0, or 1 if the file cannot be written.
int initialize(const std::string& file);

}  // namespace vitalsd
