// Under which name a kept connection is filed. libcurl tells connections apart by the host and port
// that they lead to, and by what it knows of their TLS; the rest has to be in that name.
#pragma once

#include <string>

namespace vitalsd::net {

struct HttpRequest;

/// A host's name that no request has for which another connection is needed. Pure.
std::string connection_key(const HttpRequest& request);

}  // namespace vitalsd::net
