// The checks of kind `pod`: each check counts the pods or containers with one fault. Pure.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"

#include <span>

namespace vitalsd::kubernetes {

/// All checks of the kind.
extern const std::span<const Check* const> kPodChecks;

/// The faults of the pods of one run.
class PodFaults {
 public:
  /// `now`: Unix seconds.
  explicit PodFaults(double now);

  void examine(const Pod& pod);
  /// Adds the readings of all checks to `out`.
  void report(Part& out) const;

 private:
  void examine_progress(const Pod& pod);
  void examine_container(const Pod& pod, const ContainerStatus& container);

  double now_;
  FaultyObjects crash_looping_;
  FaultyObjects cannot_start_;
  FaultyObjects oom_killed_;
  FaultyObjects unschedulable_;
  FaultyObjects not_ready_;
  FaultyObjects failed_;
  FaultyObjects stuck_;
};

}  // namespace vitalsd::kubernetes
