// Connections through an HTTP proxy by CONNECT, for protocols other than HTTP.
#pragma once

#include "config/endpoint.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/http_route.hpp"
#include "probes/net/stream.hpp"
#include "probes/probe.hpp"

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {

/// Connects to `endpoint`, through the proxy of `route` if there is one. The proxy resolves the
/// host. Throws ProbeError: the reasons of open_stream() without a proxy; config or internal if the
/// proxy refuses the credentials, or if it fails in any other way.
asio::awaitable<Stream> open_tunnel(const Environment& environment,
                                    const config::Endpoint& endpoint, const HttpRoute& route,
                                    SampleSet& out);

}  // namespace vitalsd::net
