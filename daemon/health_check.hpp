// `vitalsd healthcheck`: asks a running vitalsd for its health, for images without a shell.
#pragma once

#include <string>

namespace vitalsd {

/// GETs the URL, usually .../-/healthy; 0 if the answer is 200, else 1, with the reason on standard
/// error. It asks its own daemon and tells it nothing, so that certificates are not verified.
int check_health(const std::string& url);

}  // namespace vitalsd
