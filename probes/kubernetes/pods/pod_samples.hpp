// The metrics of kind `pod`, and the samples of one pod. Names and labels are those of
// kube-state-metrics (docs/metrics/workload/pod-metrics.md). Pure.
#pragma once

#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/objects/pod_object.hpp"

#include <array>
#include <span>
#include <string_view>

namespace vitalsd::kubernetes {

inline constexpr std::array<std::string_view, 5> kPodPhases = {"Pending", "Running", "Succeeded",
                                                               "Failed", "Unknown"};

/// With `detail` basic, adds only the families that alert rules use, and for a family whose series
/// are 0 or 1 by state only the series with value 1. `pod` must have been read with the same
/// `detail`.
void add_pod_samples(Part& out, const Pod& pod, PodDetail detail);

/// All metrics of the kind.
extern const std::span<const MetricInfo* const> kPodMetrics;

}  // namespace vitalsd::kubernetes
