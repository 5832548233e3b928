// The fields of a ResourceQuota that probes use. Field numbers are from
// k8s.io/api/core/v1/generated.proto. Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

struct Quota {
  Metadata meta;
  Amounts hard;  ///< from the status: the enforced limits
  Amounts used;

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// Used divided by hard. Empty if one of them is missing, or if hard is 0.
  [[nodiscard]] std::optional<double> used_ratio(std::string_view resource) const;
  bool operator==(const Quota&) const = default;
};

/// Throws ProbeError(protocol) for malformed bytes.
Quota read_quota(std::string_view message);

}  // namespace vitalsd::kubernetes
