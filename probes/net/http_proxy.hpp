// Errors of requests through an HTTP proxy, which name the proxy. Pure.
#pragma once

#include "config/scalar.hpp"
#include "probes/error.hpp"

#include <optional>

namespace vitalsd::net {

constexpr long kProxyAuthenticationRequired = 407;

/// An error of a request through `proxy`: the same error with the proxy in its text, because the
/// target itself may be reachable.
ProbeError through_proxy(const config::Url& proxy, const ProbeError& error);

/// An error about the response to a request to `url`. Without TLS, the response may be one of the
/// proxy itself, so the text names the proxy, if there is one.
ProbeError about_response(const config::Url& url, const std::optional<config::Url>& proxy,
                          const ProbeError& error);

/// The proxy refuses the request itself, with this status: auth (407) or connect.
ProbeError proxy_refusal(const config::Url& proxy, long status);

}  // namespace vitalsd::net
