// Unix sockets, for kinds whose servers listen on them. An endpoint then has a path as its host.
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

/// Reports what a Unix socket at `path`, which the option `url` contains, cannot have.
void check_unix(config::Node& options, const std::string& path);

/// The reason for an error of connect(). Without permission, whether a server listens is unknown.
Reason unix_reason(const boost::system::error_code& error);

/// Connects to the socket at `path`. Sets the step of `out`. Throws ProbeError, see unix_reason().
asio::awaitable<asio::generic::stream_protocol::socket> connect_unix(const Environment& environment,
                                                                     const std::string& path,
                                                                     SampleSet& out);

}  // namespace vitalsd::net
