// What is kept of a ResourceQuota. Field numbers are those of k8s.io/api/core/v1/generated.proto.
// Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

struct Quota {
  Metadata meta;
  Amounts hard;  ///< as its status has them: what is enforced
  Amounts used;

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// The share of a resource that is used; nothing where there is no use or nothing is granted.
  [[nodiscard]] std::optional<double> used_ratio(std::string_view resource) const;
  bool operator==(const Quota&) const = default;
};

/// Throws ProbeError(protocol) for malformed bytes.
Quota read_quota(std::string_view message);

}  // namespace vitalsd::kubernetes
