// The fields of a HorizontalPodAutoscaler that probes use. Field numbers are from
// k8s.io/api/autoscaling/v2/generated.proto. v2beta2 has the same numbers, v1 a subset. Pure.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// The target or the current value of one metric of an autoscaler.
struct AutoscalerReading {
  std::string metric;     ///< "cpu"
  std::string_view type;  ///< "value", "average", "utilization"
  double value = 0;       ///< in base units; utilization in percent of the request
  // The following fields distinguish metrics with the same name. They are empty if they do not
  // apply.
  std::string container{};  ///< of a container's resource
  std::string object{};     ///< the object that the metric describes: "Ingress/main"
  std::string selector{};   ///< of the metric, as for kubectl: "queue=orders,tier in (a,b)"
  bool operator==(const AutoscalerReading&) const = default;
};

struct Autoscaler {
  Metadata meta;
  std::string target_kind;
  std::string target_name;
  std::string target_api_version;
  std::int64_t min = 1;  ///< replicas; 1 if it is not set
  std::int64_t max = 0;
  std::int64_t current = 0;
  std::int64_t desired = 0;
  std::vector<AutoscalerReading> targets;  ///< in the order of the spec
  std::vector<AutoscalerReading> readings;
  std::vector<Condition> conditions;  ///< empty in v1

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// Whether the autoscaler wants the maximum number of replicas. False if minimum and maximum are
  /// equal.
  [[nodiscard]] bool at_max() const { return max > min && desired >= max; }
  bool operator==(const Autoscaler&) const = default;
};

/// Throws ProbeError(protocol) for malformed bytes.
Autoscaler read_autoscaler(std::string_view message);

}  // namespace vitalsd::kubernetes
