// TCP connections to a configured host and port. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "probes/net/resolver.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstdint>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace vitalsd::net {

/// The time after which the next address is tried as well if an address has not accepted (RFC
/// 8305).
constexpr std::chrono::milliseconds kNextAddressDelay{250};

/// Connects to one of the host's addresses: to the first at once, and to the next when one fails or
/// after kNextAddressDelay, so an unreachable address causes little delay. Sets the step of `out`.
/// Throws ProbeError(dns), ProbeError(connect) with the error of each address, or
/// ProbeError(internal) if all addresses failed for lack of local resources.
asio::awaitable<asio::ip::tcp::socket> connect(const Environment& environment,
                                               const config::Endpoint& endpoint, IpVersion ip,
                                               SampleSet& out);

/// The same for addresses that are known, at least one. Throws ProbeError(timeout) after `limit`,
/// unless it is 0.
asio::awaitable<asio::ip::tcp::socket> connect(asio::io_context& loop, TimerWheel& wheel,
                                               Addresses addresses, std::uint16_t port,
                                               std::chrono::milliseconds limit = {});

}  // namespace vitalsd::net
