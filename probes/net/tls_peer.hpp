// What a TLS server showed in a handshake, and its metrics under the names of blackbox_exporter.
#pragma once

#include "exporter/model/metric.hpp"
#include "exporter/model/metric_table.hpp"
#include "probes/net/certificate_info.hpp"

#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include <openssl/types.h>

namespace vitalsd::net {

struct TlsPeer {
  std::string_view version;  ///< "TLS 1.3"
  std::string_view cipher;   ///< its IANA name
  std::shared_ptr<X509> leaf;
  std::optional<double> sent_expiry;  ///< earliest of the chain that the server sent, in Unix time
};

/// Reads version and cipher during or after a handshake. `leaf` is the server's certificate, or
/// null. The expiry is not set.
TlsPeer read_tls_peer(const SSL* tls, X509* leaf);

/// The identity of a certificate as blackbox_exporter writes it.
struct CertificateIdentity {
  std::string fingerprint;   ///< SHA-256 in hex
  std::string issuer;        ///< as RFC 2253 writes it: "CN=...,O=..."
  std::string subject;       ///< likewise
  std::string alternatives;  ///< the DNS names, separated by commas
  std::string serial;        ///< in hex, two digits for each byte
};
CertificateIdentity identity_of(const X509& certificate);

inline constexpr MetricTable kTlsPeerTable(
    MetricRow{Metric(kEarliestExpiry), [](const TlsPeer& peer) { return peer.sent_expiry; }},
    MetricRow{
        Metric({.name = "probe_ssl_last_chain_info",
                .help = "Always 1; the certificate of the server."},
               "fingerprint_sha256", "issuer", "subject", "subjectalternative", "serialnumber"),
        [](const TlsPeer& peer, const auto& put) {
          if (!peer.leaf) return;
          const CertificateIdentity it = identity_of(*peer.leaf);
          put(1, it.fingerprint, it.issuer, it.subject, it.alternatives, it.serial);
        }},
    MetricRow{Metric({.name = "probe_tls_version_info", .help = "Always 1; the version of TLS."},
                     "version"),
              [](const TlsPeer& peer, const auto& put) { put(1, peer.version); }},
    MetricRow{
        Metric({.name = "probe_tls_cipher_info", .help = "Always 1; the cipher suite of TLS."},
               "cipher"),
        [](const TlsPeer& peer, const auto& put) { put(1, peer.cipher); }});

}  // namespace vitalsd::net
