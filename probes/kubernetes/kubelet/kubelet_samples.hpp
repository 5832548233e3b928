// The metrics and checks of kind `kubelet`, and the samples of one node. Names are those of
// node_exporter, of the kubelet itself and of cAdvisor. Probe loop only.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/kubelet/cadvisor.hpp"
#include "probes/kubernetes/kubelet/counter_ratio.hpp"
#include "probes/kubernetes/kubelet/kubelet_summary.hpp"
#include "probes/kubernetes/objects/node_object.hpp"

#include <map>
#include <set>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

/// All metrics and checks of the kind.
extern const std::span<const MetricInfo* const> kKubeletMetrics;
extern const std::span<const Check* const> kKubeletChecks;

/// The families of /metrics/cadvisor that CadvisorReader must read for add_containers().
extern const std::span<const std::string_view> kCadvisorFamilies;

/// The state of a node's counters that is kept between runs.
struct NodeCounters {
  CounterRatio cpu;
  std::map<std::string, CounterRatio> throttled;  ///< by container: "namespace/pod (container)"
};

class NodeSamples {
 public:
  /// Readings of checks are added to `checks`. Pods of other namespaces are skipped; empty
  /// `namespaces` selects all. The references must outlive this object.
  NodeSamples(const Node& node, const std::set<std::string>& namespaces, NodeCounters& counters,
              Part& checks)
      : node_(node), namespaces_(namespaces), counters_(counters), checks_(checks) {
    samples_.set_instance(node.name);
  }

  void add_summary(const KubeletSummary& summary);
  /// Each container must have one value for each of kCadvisorFamilies, in their order.
  void add_containers(const std::vector<ContainerMetrics>& containers);

  [[nodiscard]] const Part& samples() const { return samples_; }
  /// The number of pods and containers that were added, by namespace.
  [[nodiscard]] const std::map<std::string, std::size_t>& selected() const { return selected_; }

 private:
  /// Counts the pod or container if its namespace is selected.
  [[nodiscard]] bool select(const std::string& namespace_name) {
    const bool is_selected = namespaces_.empty() || namespaces_.contains(namespace_name);
    if (is_selected) ++selected_[namespace_name];
    return is_selected;
  }
  void add_file_systems(const KubeletSummary& summary);
  void add_file_system(std::string_view mountpoint, const FsStats& fs);
  void add_volume(const VolumeSummary& volume);
  void check_node(const UsageStats& usage);

  const Node& node_;
  const std::set<std::string>& namespaces_;
  NodeCounters& counters_;
  Part& checks_;
  Part samples_;
  std::map<std::string, std::size_t> selected_;
};

}  // namespace vitalsd::kubernetes
