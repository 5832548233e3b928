// TCP connections to a host:port as people configure it. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "probes/probe.hpp"

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace vitalsd::net {

/// A connection to one of the host's addresses: the first at once, the next when one fails or after
/// 250 ms (RFC 8305), so that a dead address among live ones costs little. Throws ProbeError with
/// Reason::dns or Reason::connect, naming what each address said. Tells `out` what it is doing.
asio::awaitable<asio::ip::tcp::socket> connect(const Environment& environment,
                                               const config::Endpoint& endpoint, SampleSet& out);

}  // namespace vitalsd::net
