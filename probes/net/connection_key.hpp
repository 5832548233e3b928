// Under which name a kept connection is filed. libcurl tells connections apart by the name and port
// that they lead to and by what it knows of their TLS. It does not know our trusted certificates,
// and where `server_name` stands in the URL it does not know the host.
#pragma once

#include <string>

namespace vitalsd::net {

struct HttpRequest;

/// A host name that two requests share only if a connection made for one of them serves the other:
/// the same scheme, host, port, protocol and, over TLS, server name and trust. What HTTP sends with
/// each request, such as credentials, is not part of it. Pure.
std::string connection_key(const HttpRequest& request);

}  // namespace vitalsd::net
