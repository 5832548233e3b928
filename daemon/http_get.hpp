// One HTTP request of a command, without a daemon.
#pragma once

#include "probes/net/http_client.hpp"

#include <expected>
#include <string>

namespace vitalsd {

/// Sends the request and returns the response, or why there is none. Blocks.
std::expected<net::HttpResponse, std::string> http_get(const net::HttpRequest& request);

}  // namespace vitalsd
