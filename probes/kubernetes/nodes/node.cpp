// Kind `node`: conditions, capacity and taints of the cluster's nodes, from one watch. Names and
// labels are those of kube-state-metrics (docs/metrics/cluster/node-metrics.md).
#include "probes/kubernetes/objects/label_selector.hpp"
#include "probes/kubernetes/objects/node_object.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <array>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vitalsd {
namespace {

using kubernetes::Condition;
using kubernetes::Node;

constexpr net::kubernetes::Resource kNodes{.group = "", .version = "v1", .plural = "nodes"};

template <class... Names>
consteval auto node_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "node", names...);
}

constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kStatuses = {
    {{"true", "True"}, {"false", "False"}, {"unknown", "Unknown"}}};  // label, as in the API

template <class Put>
void put_amounts(const kubernetes::Amounts& amounts, const Put& put) {
  for (const auto& [resource, amount] : amounts) {
    put(amount, kubernetes::resource_label(resource), kubernetes::resource_unit(resource));
  }
}

constexpr MetricTable kTable(
    MetricRow{node_metric({.name = "kube_node_status_condition",
                           .help = "Whether the node's condition has this status; Ready is unknown "
                                   "if the kubelet stopped reporting."},
                          "condition", "status"),
              [](const Node& node, auto put) {
                for (const Condition& condition : node.conditions) {
                  for (const auto& [label, status] : kStatuses) {
                    put(condition.status.get() == status, condition.type.get(), label);
                  }
                }
              }},
    MetricRow{node_metric({.name = "kube_node_spec_unschedulable",
                           .help = "Whether the node is cordoned: it accepts no new pods."}),
              [](const Node& node) { return node.unschedulable; }},
    MetricRow{
        node_metric({.name = "kube_node_spec_taint", .help = "A taint of the node; always 1."},
                    "key", "value", "effect"),
        [](const Node& node, auto put) {
          for (const kubernetes::Taint& taint : node.taints) {
            put(1, taint.key, taint.value, taint.effect);
          }
        }},
    MetricRow{node_metric({.name = "kube_node_status_capacity",
                           .help = "Resources of the node: cores, bytes, or a count."},
                          "resource", "unit"),
              [](const Node& node, auto put) { put_amounts(node.capacity, put); }},
    MetricRow{node_metric({.name = "kube_node_status_allocatable",
                           .help = "Resources of the node that pods may use: cores, bytes, or a "
                                   "count."},
                          "resource", "unit"),
              [](const Node& node, auto put) { put_amounts(node.allocatable, put); }},
    MetricRow{node_metric({.name = "kube_node_info",
                           .help = "Versions and address of the node; always 1."},
                          "kernel_version", "os_image", "container_runtime_version",
                          "kubelet_version", "internal_ip"),
              [](const Node& node, auto put) {
                put(1, node.kernel_version, node.os_image, node.container_runtime_version,
                    node.kubelet_version, node.internal_ip);
              }},
    MetricRow{node_metric({.name = "kube_node_created",
                           .help = "When the node joined the cluster, in Unix seconds."}),
              [](const Node& node) { return node.created; }});

constexpr Metric kNodeCount({.name = "vitalsd_cluster_nodes", .help = "Nodes of the cluster."});
constexpr Metric kReadyCount({.name = "vitalsd_cluster_nodes_ready",
                              .help = "Ready nodes of the cluster."});

constexpr Check kNotReady{.name = "not_ready",
                          .warn = {},
                          .critical = 0,
                          .help = "nodes that are not Ready, or whose kubelet stopped reporting"};
constexpr Check kPressure{.name = "pressure",
                          .warn = 0,
                          .critical = {},
                          .help =
                              "nodes that lack memory, disk or process IDs, or whose network is "
                              "unavailable"};

class NodeProbe final : public Probe {
 public:
  NodeProbe(config::Node& options, const Environment& environment)
      : selector_(
            options.get<kubernetes::LabelSelector>("selector", {}, "only nodes with these labels")),
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
    co_await nodes_->publish(out, out, [](Part& samples, const Node& node) {
      samples.set_instance(node.name);
      kTable.add(samples, node, node.name);
    });
    kubernetes::Selection selection;
    nodes_->count(selection);
    selection.report(out);
    kubernetes::FaultyObjects not_ready(kNotReady);
    kubernetes::FaultyObjects pressure(kPressure);
    std::size_t ready_count = 0;
    nodes_->for_each([&](const Node& node) {
      const Condition* ready = node.condition("Ready");
      if (ready != nullptr && ready->status.get() == "True") {
        ++ready_count;
      } else {
        not_ready.add(ready == nullptr || ready->reason.get().empty()
                          ? node.name
                          : node.name + " (" + ready->reason.get() + ')');
      }
      // Every condition type except Ready indicates a fault if it is true.
      for (const Condition& other : node.conditions) {
        if (other.type.get() != "Ready" && other.status.get() == "True") {
          pressure.add(node.name + " (" + other.type.get() + ')');
        }
      }
    });
    out.add(kNodeCount, static_cast<double>(nodes_->size()));
    out.add(kReadyCount, static_cast<double>(ready_count));
    not_ready.report(out);
    pressure.report(out);
  }

  [[nodiscard]] std::string target() const override {
    return selector_.empty() ? "all nodes" : "nodes with " + selector_.text();
  }

  [[nodiscard]] bool overlaps(const NodeProbe& other) const {
    return !selector_.disjoint(other.selector_);
  }

  void inherit(Probe& predecessor) override {
    nodes_ = std::move(dynamic_cast<NodeProbe&>(predecessor).nodes_);
  }

 private:
  using Nodes = kubernetes::Watched<Node>;

  kubernetes::LabelSelector selector_;
  std::unique_ptr<Nodes> nodes_;
};

constexpr auto kMetrics = metric_list(kTable, kNodeCount, kReadyCount, kubernetes::kLastHeard,
                                      kubernetes::kSelectedObjects);
constexpr std::array<const Check*, 3> kChecks = {&kNotReady, &kPressure,
                                                 &kubernetes::kUnmatchedCheck};

constexpr WatchingKind kWatching{.overlaps = probes_overlap<NodeProbe>};
constexpr std::array<Permission, 1> kPermissions = {
    Permission{.group = "", .resource = "nodes", .cluster = true}};

}  // namespace

namespace kinds {
extern const ProbeKind node;
const ProbeKind node = {
    .name = "node",
    .help = "The nodes of the cluster are ready.",
    .make = make_probe<NodeProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .permissions = kPermissions,
    .watching = &kWatching,
};
}  // namespace kinds

}  // namespace vitalsd
