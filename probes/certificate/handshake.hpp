// What certificate a TLS server shows, whether or not it verifies: the chain is captured first,
// with nothing refused, and verified apart, so that an expired certificate still tells its date.
#pragma once

#include "config/scalar.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <optional>
#include <string>
#include <string_view>

#include <boost/asio/awaitable.hpp>
#include <openssl/types.h>

namespace vitalsd {

/// Protocols that begin in clear text and are asked for TLS.
enum class StartTls : unsigned char { none, ftp, imap, pop3, postgres, smtp };

/// Why a chain does not verify, as a label: a closed set.
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
  net::CertificateInfo leaf;
  std::optional<double> chain_expiry;  ///< the earliest in the chain that the server sent
  std::optional<VerifyFault> fault;    ///< nothing: it verifies
  std::string fault_text;              ///< OpenSSL's words for it
};

/// Connects, asks for TLS where the protocol wants that, and takes the server's certificate. A
/// server that ends the handshake after it has shown its certificate (because it wants one of ours)
/// has shown it all the same. Throws ProbeError.
asio::awaitable<ServerCertificate> fetch_certificate(const Environment& environment,
                                                     const config::Endpoint& endpoint,
                                                     StartTls start_tls,
                                                     const net::TlsOptions& options,
                                                     SampleSet& out);

}  // namespace vitalsd
