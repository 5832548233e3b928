// What is kept of a Secret of type kubernetes.io/tls: what its certificates say, and nothing else.
// The entry with the private key is not looked at, let alone copied. Field numbers are those of
// k8s.io/api/core/v1/generated.proto. Pure.
#pragma once

#include "probes/net/certificate_info.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

struct TlsSecret {
  std::string namespace_name;
  std::string name;
  std::vector<net::CertificateInfo> certificates;  ///< of the entry tls.crt
  std::string fault;                               ///< why there are no certificates

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  bool operator==(const TlsSecret&) const = default;
};

/// Nothing for a Secret of another type. Throws ProbeError(protocol) for malformed bytes; what is
/// wrong with the certificate is in the fault.
std::optional<TlsSecret> read_tls_secret(std::string_view message);

}  // namespace vitalsd
