// One HTTP request of a command, without a daemon.
#pragma once

#include "config/scalar.hpp"
#include "probes/net/http_client.hpp"

#include <expected>
#include <string>

namespace vitalsd {

/// Reads a URL with the scheme http or https.
std::expected<config::Url, std::string> parse_http_url(const std::string& text);

/// Sends the request and returns the response, or why there is none. Blocks.
std::expected<net::HttpResponse, std::string> http_get(const net::HttpRequest& request);

}  // namespace vitalsd
