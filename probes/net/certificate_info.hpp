// What we want to know of X.509 certificates, as plain values. Pure functions over OpenSSL's types.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <openssl/types.h>
#include <openssl/x509.h>

namespace vitalsd::net {

struct CertificateInfo {
  std::string common_name;  ///< of the subject; without one the first DNS or IP alternative name
  std::string issuer;       ///< common name of the issuer
  double not_before = 0;    ///< Unix time
  double not_after = 0;
  bool operator==(const CertificateInfo&) const = default;
};

CertificateInfo describe(const X509& certificate);

/// The earliest end of validity of a chain; nothing for an empty one.
std::optional<double> earliest_expiry(const STACK_OF(X509) * chain);

/// The certificates in PEM text, in order; everything else in it (keys, parameters, comments) is
/// passed over. Throws ProbeError(protocol) on a certificate that cannot be read.
std::vector<CertificateInfo> read_pem_certificates(std::string_view pem);

/// The certificates of a file: those in PEM text, or else the one that all of its bytes are in DER.
/// Throws as above, and where bytes follow the one in DER.
std::vector<CertificateInfo> read_certificates(std::string_view file);

}  // namespace vitalsd::net
