// Fetches the certificate of a TLS server, whether or not it verifies. The handshake accepts any
// chain and captures it, and the chain is verified afterwards, so that the date of an expired
// certificate is known.
#pragma once

#include "config/scalar.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/http_route.hpp"
#include "probes/net/tls.hpp"
#include "probes/net/tls_peer.hpp"
#include "probes/probe.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <openssl/types.h>

namespace vitalsd {

/// Protocols that start in clear text, in which the client requests TLS.
enum class StartTls : unsigned char { none, ftp, imap, pop3, postgres, smtp };

/// Why verification fails: the values of a label.
enum class VerifyFault : unsigned char {
  expired,
  not_yet_valid,
  self_signed,
  untrusted,
  wrong_host,
  other
};
std::string_view fault_name(VerifyFault fault);

struct ServerCertificate {
  net::TlsPeer peer;
  /// The leaf and its issuers, as far as the server sent them.
  std::vector<net::CertificateInfo> sent;
  std::vector<net::CertificateInfo> path;  ///< the verified chain; empty if there is none
  std::optional<VerifyFault> fault;  ///< nothing if the chain verifies, or if tls.verify is false
  std::string fault_text;            ///< OpenSSL's text
};

/// Connects, requests TLS if the protocol needs that, and returns the server's certificate. Also
/// returns it if the server ends the handshake after it has sent the certificate (because it
/// requires a client certificate). Throws ProbeError, whose text names the proxy of `route` if
/// there is one.
asio::awaitable<ServerCertificate> fetch_certificate(
    const Environment& environment, const config::Endpoint& endpoint, const net::HttpRoute& route,
    StartTls start_tls, const net::TlsOptions& options, SampleSet& out);

}  // namespace vitalsd
