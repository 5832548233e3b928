// Classifies libcurl's errors into reasons. Pure.
#pragma once

#include "config/scalar.hpp"
#include "probes/error.hpp"

#include <string>

#include <curl/curl.h>

namespace vitalsd::net {

/// The error for a transfer that ended with `code`, which is not CURLE_OK. `os_error`: errno of the
/// connection attempt, or 0. `text`: libcurl's message, used if there is no better one. `endpoint`:
/// the host as configured.
ProbeError curl_error(CURLcode code, int os_error, const std::string& text,
                      const config::Endpoint& endpoint);

}  // namespace vitalsd::net
