// The stored fields of a Secret: only data of its certificates. Entries with private keys are
// neither read nor copied. Field numbers are those of k8s.io/api/core/v1/generated.proto. Pure.
#pragma once

#include "probes/net/certificate_info.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

struct TlsSecret {
  struct Entry {
    std::string key;
    std::vector<net::CertificateInfo> certificates;
    bool operator==(const Entry&) const = default;
  };

  std::string namespace_name;
  std::string name;
  std::vector<Entry> entries;  ///< those with certificates
  std::string fault;           ///< of the first entry without certificates, or with a damaged one

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  /// "shop/web" for the entry tls.crt, "shop/web/ca.crt" for another entry.
  [[nodiscard]] std::string source(const Entry& entry) const {
    return entry.key == "tls.crt" ? key() : key() + '/' + entry.key;
  }
  bool operator==(const TlsSecret&) const = default;
};

/// Reads the entries tls.crt and ca.crt of a Secret of type kubernetes.io/tls, and the entries
/// *.crt, *.cer and *.pem of an Opaque Secret. Returns nothing for a Secret of another type, and
/// for an Opaque Secret without certificates. Throws ProbeError(protocol) for malformed bytes.
std::optional<TlsSecret> read_tls_secret(std::string_view message);

}  // namespace vitalsd
