// Extracts the fields of X.509 certificates that probes report. Pure functions over OpenSSL's
// types.
#pragma once

#include "exporter/model/metric.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/types.h>
#include <openssl/x509.h>

namespace vitalsd::net {

struct CertificateInfo {
  std::string common_name;  ///< of the subject; if missing, the first DNS or IP alternative name
  std::string issuer;       ///< common name of the issuer
  double not_before = 0;    ///< Unix time
  double not_after = 0;     ///< Unix time
  bool operator==(const CertificateInfo&) const = default;
};

CertificateInfo describe(const X509& certificate);

/// The certificate of a chain that expires first; nothing for an empty chain.
std::optional<CertificateInfo> first_to_expire(const STACK_OF(X509) * chain);
/// When it expires, in Unix time.
std::optional<double> earliest_expiry(const STACK_OF(X509) * chain);

/// The name and meaning that blackbox_exporter gives to the expiry of a chain in use. Servers may
/// also send certificates that no client needs; an expired one of these does no harm.
inline constexpr MetricSpec kLastChainExpiry = {
    .name = "probe_ssl_last_chain_expiry_timestamp_seconds",
    .unit = Unit::seconds,
    .help =
        "When the first certificate of the verified chain expires, in Unix time; absent if the "
        "chain does not verify.",
    .keep = Keep::fact};

/// The certificates in PEM text, in order. Everything else (keys, parameters, comments) is skipped.
/// Throws ProbeError(protocol) if a certificate is invalid.
std::vector<CertificateInfo> read_pem_certificates(std::string_view pem);

/// The certificates in the content of a file: all in PEM, or a single one in DER. Empty if there is
/// none. Throws ProbeError(protocol) if a certificate is invalid or bytes follow the one in DER.
std::vector<CertificateInfo> read_certificates(std::string_view file);

}  // namespace vitalsd::net
