// The fields of a Certificate of cert-manager.io/v1 that probes use, in JSON
// (https://cert-manager.io/docs/reference/api-docs/#cert-manager.io/v1.Certificate). Pure.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

struct ManagedCertificate {
  std::string namespace_name;
  std::string name;
  std::string uid;
  std::optional<double> created;
  std::string issuer_name;
  std::string issuer_kind;
  std::string issuer_group;
  std::string ready = "Unknown";  ///< status of the condition Ready: "True", "False", "Unknown"
  std::string ready_reason;
  std::optional<double> ready_since;
  std::optional<double> expires;  ///< notAfter; empty: it has never been issued
  std::optional<double> renews;   ///< renewalTime

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  bool operator==(const ManagedCertificate&) const = default;
};

/// Throws ProbeError(protocol) if the text is not an object with a name. A field with an unexpected
/// type counts as missing. Times are in Unix seconds.
ManagedCertificate read_managed_certificate(std::string_view json);

}  // namespace vitalsd::kubernetes
