// Reads the certificates in files: PEM and DER, single certificates and PKCS#7.
#pragma once

#include "probes/net/certificate_info.hpp"

#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::net {

struct CertificateList {
  std::vector<CertificateInfo> certificates;
  /// Names the first damaged block, as a predicate: "has a damaged block in line 12: empty". Empty
  /// if there is none.
  std::string fault;
};

/// Reads the certificates in PEM text, in order, also those of PKCS#7. Everything else (keys,
/// parameters, comments) is skipped. A damaged block does not hide the others.
CertificateList read_pem_certificates(std::string_view pem);

/// Reads the certificates in the content of a file: any number in PEM, one certificate in DER, or
/// those of PKCS#7 in DER. Throws ProbeError: mismatch, with the text of describe_other(), if there
/// is none; protocol if bytes follow the DER.
CertificateList read_certificates(std::string_view file);

/// What a content without PEM certificates is, and what to do, as a predicate: "is empty",
/// "contains a private key and no certificate: use the file of the certificate". Quotes nothing of
/// the content.
std::string describe_other(std::string_view content);

/// Why `pem` has no private key that can be used without a password, as a predicate; empty if it
/// has one. Quotes nothing of the content.
std::string private_key_fault(std::string_view pem);

/// Whether the private key is that of the first certificate. False if one of them cannot be parsed.
bool is_pair(std::string_view certificate_pem, std::string_view key_pem);

}  // namespace vitalsd::net
