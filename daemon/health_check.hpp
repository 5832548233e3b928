// `vitalsd healthcheck`: requests the health page of a running vitalsd. For images without a shell.
#pragma once

#include <string>

namespace vitalsd {

/// Sends a GET request to the URL, usually .../-/healthy. Returns 0 if the response has status 200,
/// 1 with the reason on standard error otherwise, and 2 if the URL is invalid. Certificates are not
/// verified: the server is the local daemon, and the request contains no secret.
int check_health(const std::string& url);

}  // namespace vitalsd
