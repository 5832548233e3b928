#include "probes/net/connection_key.hpp"

#include "probes/net/http_client.hpp"

#include <functional>

namespace vitalsd::net {

std::string connection_key(const HttpRequest& request) {
  const TlsOptions& tls = request.tls;
  return "trust-" +
         std::to_string(std::hash<std::string>()(tls.ca + '\n' + tls.certificate + '\n' + tls.key));
}

}  // namespace vitalsd::net
