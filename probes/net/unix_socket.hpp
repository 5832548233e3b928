// Unix sockets, for kinds whose servers can listen on them. The host of an endpoint is then a path.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "probes/probe.hpp"

#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/generic/stream_protocol.hpp>
#include <boost/system/error_code.hpp>

namespace vitalsd::net {

/// Whether the host of an endpoint is a path.
inline bool is_unix(std::string_view host) { return host.starts_with('/'); }

/// Reports options that are not valid for a Unix socket. `path` is the path in the option `url`.
void check_unix(config::Node& options, const std::string& path);

/// The reason for an error of connect(). Without permission, it is unknown whether a server
/// listens.
Reason unix_reason(const boost::system::error_code& error);

/// Connects to the socket at `path`. Sets the step of `out`. Throws ProbeError, see unix_reason().
asio::awaitable<asio::generic::stream_protocol::socket> connect_unix(const Environment& environment,
                                                                     const std::string& path,
                                                                     SampleSet& out);

}  // namespace vitalsd::net
