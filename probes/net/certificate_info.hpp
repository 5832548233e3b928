// Extracts the fields of X.509 certificates that probes report. Pure functions over OpenSSL's
// types.
#pragma once

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

/// The earliest expiry in a chain, in Unix time; nothing for an empty chain.
std::optional<double> earliest_expiry(const STACK_OF(X509) * chain);

/// The certificates in PEM text, in order. Everything else (keys, parameters, comments) is skipped.
/// Throws ProbeError(protocol) if a certificate is invalid.
std::vector<CertificateInfo> read_pem_certificates(std::string_view pem);

/// The certificates in the content of a file: all in PEM, or a single one in DER. Empty if there is
/// none. Throws ProbeError(protocol) if a certificate is invalid or bytes follow the one in DER.
std::vector<CertificateInfo> read_certificates(std::string_view file);

}  // namespace vitalsd::net
