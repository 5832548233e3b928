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
  /// Of the subject; if it has none, the first alternative name (DNS, IP, URI or email), otherwise
  /// the whole subject, or "serial " and the serial number.
  std::string common_name;
  double not_before = 0;  ///< Unix time
  double not_after = 0;   ///< Unix time
  /// Why the key or the signature is below today's minimum ("RSA key of 1024 bits, signed with
  /// SHA-1"); empty if it is not. The signature of a self-signed certificate proves nothing, so it
  /// is not judged.
  std::string weakness;
  bool operator==(const CertificateInfo&) const = default;
};

/// Not const, because OpenSSL stores the parsed extensions in the object.
CertificateInfo describe(X509& certificate);
std::vector<CertificateInfo> describe(const STACK_OF(X509) * chain);

/// The earliest expiry in a chain, in Unix time; nothing if the chain is empty.
std::optional<double> earliest_expiry(const STACK_OF(X509) * chain);

/// The name that blackbox_exporter gives to the earliest expiry of the chain that a server sends.
inline constexpr MetricSpec kEarliestExpiry = {
    .name = "probe_ssl_earliest_cert_expiry",
    .help = "When the first certificate of the chain that the server sent expires, in Unix time.",
    .keep = Keep::fact};

}  // namespace vitalsd::net
