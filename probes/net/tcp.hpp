// TCP connections to a configured host and port. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "probes/probe.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace vitalsd::net {

/// Connects to one of the host's addresses: to the first at once, and to the next when one fails or
/// after 250 ms (RFC 8305), so an unreachable address causes little delay. Sets the step of `out`.
/// Throws ProbeError(dns), ProbeError(connect) with the error of each address, or
/// ProbeError(internal) if all addresses failed for lack of local resources.
asio::awaitable<asio::ip::tcp::socket> connect(const Environment& environment,
                                               const config::Endpoint& endpoint, SampleSet& out);

}  // namespace vitalsd::net
