// The fields of PersistentVolumes and PersistentVolumeClaims that probes use. Field numbers are
// from k8s.io/api/core/v1/generated.proto. Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

struct Volume {
  std::string name;
  std::string uid;
  std::optional<double> created;
  std::optional<double> capacity;  ///< bytes
  std::string claim_namespace;
  std::string claim_name;  ///< empty if it is not bound
  std::string storage_class;
  SharedText phase;   ///< "Pending", "Available", "Bound", "Released", "Failed"
  SharedText reason;  ///< "RecyclerFailed"; usually empty

  [[nodiscard]] std::string key() const { return name; }
  bool operator==(const Volume&) const = default;
};

struct Claim {
  Metadata meta;
  std::optional<double> requested;  ///< bytes
  std::optional<double> capacity;   ///< bytes of the bound volume
  std::string volume;               ///< empty if it is not bound
  std::string storage_class;
  SharedText phase;  ///< "Pending", "Bound", "Lost"

  [[nodiscard]] std::string key() const { return meta.key(); }
  bool operator==(const Claim&) const = default;
};

/// These functions throw ProbeError(protocol) for malformed bytes.
Volume read_volume(std::string_view message);
Claim read_claim(std::string_view message);

}  // namespace vitalsd::kubernetes
