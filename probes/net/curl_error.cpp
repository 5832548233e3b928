#include "probes/net/curl_error.hpp"

#include <cstring>

namespace vitalsd::net {
namespace {

Reason reason_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Reason::dns;
    case CURLE_COULDNT_CONNECT:
      return Reason::connect;
    case CURLE_OPERATION_TIMEDOUT:
      return Reason::timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Reason::tls;
    case CURLE_URL_MALFORMAT:
      return Reason::config;
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return Reason::internal;
    default:
      return Reason::protocol;  // an empty, truncated or malformed response, or no HTTP
  }
}

}  // namespace

ProbeError curl_error(CURLcode code, int os_error, const std::string& text,
                      const config::Endpoint& endpoint) {
  if (code == CURLE_COULDNT_CONNECT && os_error != 0) {
    return {is_local_shortage(os_error) ? Reason::internal : Reason::connect,
            endpoint.text() + ": " + std::strerror(os_error)};
  }
  // libcurl's code for a header line of more than 100 KB.
  if (code == CURLE_OUT_OF_MEMORY) {
    return {Reason::protocol, "a header is too long, or memory is exhausted"};
  }
  // In TLS 1.3, a server that requires a client certificate reports a missing one after the
  // handshake.
  const bool is_alert = (code == CURLE_RECV_ERROR || code == CURLE_SEND_ERROR) &&
                        text.contains("SSL") && text.contains(" alert ");
  const bool is_no_tls =
      code == CURLE_SSL_CONNECT_ERROR &&
      (text.contains("wrong version number") || text.contains("packet length too long"));
  if (is_no_tls) {
    return {Reason::tls,
            "the server does not use TLS on this port: use http:// or the port for "
            "HTTPS (" +
                text + ')'};
  }
  return {is_alert ? Reason::tls : reason_of(code), text};
}

}  // namespace vitalsd::net
