// The stored fields of a Secret of type kubernetes.io/tls: only data of its certificates. The entry
// with the private key is neither read nor copied. Field numbers are those of
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
  std::vector<net::CertificateInfo> certificates;  ///< in the entry tls.crt
  std::string fault;                               ///< why there are no certificates

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  bool operator==(const TlsSecret&) const = default;
};

/// Returns nothing for a Secret of another type. An invalid certificate is reported in `fault`.
/// Throws ProbeError(protocol) for malformed bytes.
std::optional<TlsSecret> read_tls_secret(std::string_view message);

}  // namespace vitalsd
