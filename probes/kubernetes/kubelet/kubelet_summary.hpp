// A streaming reader of a kubelet's /stats/summary (JSON, k8s.io/kubelet/pkg/apis/stats/v1alpha1):
// resource use of the node, its pods, containers and volumes. Every number is optional: a member
// that is missing or null is empty, never 0. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// A file system. If several volumes share it, `used_bytes` is that of one volume, and not capacity
/// minus available.
struct FsStats {
  std::optional<double> available_bytes;  ///< to users other than root
  std::optional<double> capacity_bytes;
  std::optional<double> used_bytes;
  std::optional<double> inodes;
  std::optional<double> inodes_free;
};

struct UsageStats {
  std::optional<double> cpu_seconds;  ///< CPU time since the start, over all cores
  std::optional<double> memory_usage_bytes;
  std::optional<double> memory_working_set_bytes;
  std::optional<double> memory_available_bytes;  ///< absent without a limit
};

struct ContainerSummary {
  std::string name;
  UsageStats usage;
};

struct VolumeSummary {
  std::string name;   ///< within the pod
  std::string claim;  ///< PersistentVolumeClaim; empty for other types of volume
  std::string claim_namespace;
  FsStats fs;
};

struct PodSummary {
  std::string name;
  std::string namespace_name;
  UsageStats usage;
  std::vector<ContainerSummary> containers;
  std::vector<VolumeSummary> volumes;
};

struct KubeletSummary {
  std::string node;
  UsageStats usage;
  FsStats fs;            ///< the file system of the kubelet's root directory
  FsStats image_fs;      ///< images of the container runtime
  FsStats container_fs;  ///< writable layers of containers; absent before Kubernetes 1.29
  std::vector<PodSummary> pods;
};

class SummaryReader {
 public:
  SummaryReader();
  ~SummaryReader();
  SummaryReader(const SummaryReader&) = delete;
  SummaryReader& operator=(const SummaryReader&) = delete;

  /// Parses a piece of the document. Throws ProbeError(protocol) for invalid JSON (with the offset
  /// in bytes), for a member in use that has the wrong type or is not in 0 to 2^64 (with its path),
  /// and for a document over the limits: 32 MiB, 32 levels, 50,000 pods, containers and volumes
  /// together. After an exception the reader must not be used.
  void feed(std::string_view bytes);

  /// Returns the summary. Call it once, after the last piece. Throws ProbeError(protocol) if the
  /// document is incomplete or has no node name.
  KubeletSummary finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitalsd::kubernetes
