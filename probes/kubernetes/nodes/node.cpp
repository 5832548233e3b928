// Kind `node`: conditions, capacity and taints of the cluster's nodes, from one watch. Names and
// labels are kube-state-metrics' (docs/metrics/cluster/node-metrics.md).
#include "probes/kubernetes/objects/label_selector.hpp"
#include "probes/kubernetes/objects/node_object.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <array>
#include <string>
#include <string_view>

namespace vitalsd {
namespace {

using kubernetes::Condition;
using kubernetes::Node;

constexpr net::kubernetes::Resource kNodes{.group = "", .version = "v1", .plural = "nodes"};

constexpr Metric kCondition({.name = "kube_node_status_condition",
                             .help = "Whether the node's condition has this status; Ready that is "
                                     "unknown means that its kubelet is silent."},
                            "node", "condition", "status");
constexpr Metric kUnschedulable({.name = "kube_node_spec_unschedulable",
                                 .help = "Whether the node takes no new pods (cordoned)."},
                                "node");
constexpr Metric kTaint({.name = "kube_node_spec_taint", .help = "A taint of the node; always 1."},
                        "node", "key", "value", "effect");
constexpr Metric kCapacity({.name = "kube_node_status_capacity",
                            .help = "What the node has: cores, bytes, or a number."},
                           "node", "resource", "unit");
constexpr Metric kAllocatable({.name = "kube_node_status_allocatable",
                               .help = "What of it pods may have: cores, bytes, or a number."},
                              "node", "resource", "unit");
constexpr Metric kInfo({.name = "kube_node_info", .help = "What the node runs; always 1."}, "node",
                       "kernel_version", "os_image", "container_runtime_version", "kubelet_version",
                       "internal_ip");
constexpr Metric kCreated({.name = "kube_node_created",
                           .help = "When the node joined, in Unix seconds."},
                          "node");
constexpr Metric kNodeCount({.name = "vitalsd_cluster_nodes", .help = "Nodes of the cluster."});
constexpr Metric kReadyCount({.name = "vitalsd_cluster_nodes_ready",
                              .help = "Nodes of the cluster that are Ready."});

constexpr Check kNotReady{.name = "not_ready",
                          .warn = {},
                          .critical = 0,
                          .help = "nodes that are not Ready, or whose kubelet is silent"};
constexpr Check kPressure{.name = "pressure",
                          .warn = 0,
                          .critical = {},
                          .help =
                              "nodes short of memory, disk or process ids, or without a "
                              "network"};

void add_samples(Part& part, const Node& node) {
  for (const Condition& condition : node.conditions) {
    for (const auto& [label, status] : {std::pair("true", "True"), std::pair("false", "False"),
                                        std::pair("unknown", "Unknown")}) {
      part.add(kCondition, condition.status.get() == status ? 1 : 0, node.name,
               condition.type.get(), label);
    }
  }
  part.add(kUnschedulable, node.unschedulable ? 1 : 0, node.name);
  for (const kubernetes::Taint& taint : node.taints) {
    part.add(kTaint, 1, node.name, taint.key, taint.value, taint.effect);
  }
  const auto add = [&](const auto& metric, const kubernetes::Amounts& amounts) {
    for (const auto& [resource, amount] : amounts) {
      part.add(metric, amount, node.name, kubernetes::resource_label(resource),
               kubernetes::resource_unit(resource));
    }
  };
  add(kCapacity, node.capacity);
  add(kAllocatable, node.allocatable);
  part.add(kInfo, 1, node.name, node.kernel_version, node.os_image, node.container_runtime_version,
           node.kubelet_version, node.internal_ip);
  part.add(kCreated, node.created, node.name);
}

class NodeProbe final : public Probe {
 public:
  NodeProbe(config::Node& options, const Environment& environment)
      : selector_(options.get<kubernetes::LabelSelector>("selector", {}, "only these nodes")),
        nodes_(std::make_unique<Nodes>(
            environment,
            net::kubernetes::Query{.resource = kNodes, .label_selector = selector_.text()},
            [shard = environment.shard](std::string_view message) -> std::optional<Node> {
              Node node = kubernetes::read_node(message);
              if (!shard.owns(node.uid)) return std::nullopt;
              return node;
            })) {}

  asio::awaitable<void> observe(SampleSet& out) override {
    if (!co_await nodes_->judge(out, out)) co_return;
    co_await nodes_->publish(out, out, add_samples);
    kubernetes::FaultyObjects not_ready(kNotReady);
    kubernetes::FaultyObjects pressure(kPressure);
    std::size_t ready = 0;
    nodes_->for_each([&](const Node& node) {
      const Condition* condition = node.condition("Ready");
      if (condition != nullptr && condition->status.get() == "True") {
        ++ready;
      } else {
        not_ready.add(condition == nullptr || condition->reason.get().empty()
                          ? node.name
                          : node.name + " (" + condition->reason.get() + ')');
      }
      for (const Condition& each : node.conditions) {  // all others mean trouble when they hold
        if (each.type.get() != "Ready" && each.status.get() == "True") {
          pressure.add(node.name + " (" + each.type.get() + ')');
        }
      }
    });
    out.add(kNodeCount, static_cast<double>(nodes_->size()));
    out.add(kReadyCount, static_cast<double>(ready));
    not_ready.report(out);
    pressure.report(out);
  }

  [[nodiscard]] std::string target() const override {
    return selector_.empty() ? "all nodes" : "nodes with " + selector_.text();
  }

  [[nodiscard]] bool overlaps(const Probe& other) const override {
    return !selector_.disjoint(dynamic_cast<const NodeProbe&>(other).selector_);
  }

  void inherit(Probe& predecessor) override {
    nodes_ = std::move(dynamic_cast<NodeProbe&>(predecessor).nodes_);
  }

 private:
  using Nodes = kubernetes::Watched<Node>;

  kubernetes::LabelSelector selector_;
  std::unique_ptr<Nodes> nodes_;
};

constexpr auto kMetrics =
    metric_list(kCondition, kUnschedulable, kTaint, kCapacity, kAllocatable, kInfo, kCreated,
                kNodeCount, kReadyCount, kubernetes::kLastHeard);
constexpr std::array<const Check*, 2> kChecks = {&kNotReady, &kPressure};

}  // namespace

namespace kinds {
extern const ProbeKind node;
const ProbeKind node = {
    .name = "node",
    .help = "The cluster's nodes are ready.",
    .make = make_probe<NodeProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .first_at_once = true,
    .divides = true,
};
}  // namespace kinds

}  // namespace vitalsd
