// The name by which libcurl finds a connection for reuse. libcurl identifies connections by the
// host name and port and by the TLS options. It does not know the trusted certificates, which are
// set on the TLS context, nor the host if `server_name` replaces it in the URL.
#pragma once

#include <string>

namespace vitalsd::net {

struct HttpRequest;

/// A host name that is equal for two requests only if they may share a connection: same scheme,
/// host, port, protocol and, over TLS, server name and certificates. Data that HTTP sends with each
/// request, such as credentials, is not part of the key. Pure.
std::string connection_key(const HttpRequest& request);

}  // namespace vitalsd::net
