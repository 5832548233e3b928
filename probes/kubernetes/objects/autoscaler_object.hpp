// What is kept of a HorizontalPodAutoscaler. Field numbers are those of
// k8s.io/api/autoscaling/v2/generated.proto; v2beta2 has the same, v1 has those that it has. Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// One thing that an autoscaler goes by, wanted or as it is.
struct AutoscalerReading {
  std::string metric;     ///< "cpu"
  std::string_view type;  ///< "value", "average", "utilization"
  double value = 0;       ///< in base units; utilization in percent of what is requested
  bool operator==(const AutoscalerReading&) const = default;
};

struct Autoscaler {
  Metadata meta;
  std::string target_kind;
  std::string target_name;
  std::string target_api_version;
  std::int64_t min = 1;  ///< replicas; without a word one
  std::int64_t max = 0;
  std::int64_t current = 0;
  std::int64_t desired = 0;
  std::vector<AutoscalerReading> targets;  ///< of several of one metric and type the first
  std::vector<AutoscalerReading> readings;
  std::vector<Condition> conditions;  ///< none in v1

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// It wants as many replicas as it may have, and might have had fewer.
  [[nodiscard]] bool at_max() const { return max > min && desired >= max; }
  bool operator==(const Autoscaler&) const = default;
};

/// Throws ProbeError(protocol) for malformed bytes.
Autoscaler read_autoscaler(std::string_view message);

}  // namespace vitalsd::kubernetes
