// Reads the certificates in files: PEM and DER, single certificates and PKCS#7.
#pragma once

#include "probes/net/certificate_info.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::net {

/// Reads the certificates in PEM text, in order, also those of PKCS#7. Everything else (keys,
/// parameters, comments) is skipped. Throws ProbeError(protocol) if a certificate is invalid.
std::vector<CertificateInfo> read_pem_certificates(std::string_view pem);

/// Reads the certificates in the content of a file: any number in PEM, one certificate in DER, or
/// those of PKCS#7 in DER. Throws ProbeError: mismatch, with the text of describe_other(), if there
/// is none; protocol if a certificate is invalid or if bytes follow the DER.
std::vector<CertificateInfo> read_certificates(std::string_view file);

/// What a content without PEM certificates is, and what to do, as a predicate: "is empty",
/// "contains a private key and no certificate: use the file of the certificate". Quotes nothing of
/// the content.
std::string describe_other(std::string_view content);

}  // namespace vitalsd::net
