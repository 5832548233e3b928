// What a kubelet says of its node, pods, containers and volumes: the JSON of /stats/summary
// (k8s.io/kubelet/pkg/apis/stats/v1alpha1), read as its bytes arrive and kept as far as it is of
// use. Every number of it is optional: what the kubelet did not say, or says is null, is nothing,
// never 0. Pure.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// A file system. `used` is not what is missing from `available`: several volumes may share one.
struct FsStats {
  std::optional<double> available_bytes;  ///< for those who are not root
  std::optional<double> capacity_bytes;
  std::optional<double> used_bytes;
  std::optional<double> inodes;
  std::optional<double> inodes_free;
};

struct UsageStats {
  std::optional<double> cpu_seconds;  ///< since its start, over all cores
  std::optional<double> memory_usage_bytes;
  std::optional<double> memory_working_set_bytes;
  std::optional<double> memory_available_bytes;  ///< absent without a limit
};

struct ContainerSummary {
  std::string name;
  UsageStats usage;
};

struct VolumeSummary {
  std::string name;   ///< in the pod
  std::string claim;  ///< of the persistent volume claim; empty: another kind of volume
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
  FsStats fs;            ///< the one that holds the kubelet's directory
  FsStats image_fs;      ///< of the container runtime
  FsStats container_fs;  ///< for writable layers; absent before Kubernetes 1.29
  std::vector<PodSummary> pods;
};

class SummaryReader {
 public:
  SummaryReader();
  ~SummaryReader();
  SummaryReader(const SummaryReader&) = delete;
  SummaryReader& operator=(const SummaryReader&) = delete;

  /// Takes a piece. Throws ProbeError(protocol) for what is not JSON (with the place in bytes), for
  /// a member that we look at and that is of the wrong type, below 0 or over 2^64 (with its name),
  /// and for more than a kubelet can have to say: 32 MiB, 32 levels, 50,000 pods, containers and
  /// volumes together. The reader is of no use after that.
  void feed(std::string_view bytes);

  /// After the last piece. Throws ProbeError(protocol) if the text ends too early or names no node.
  KubeletSummary finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace vitalsd::kubernetes
