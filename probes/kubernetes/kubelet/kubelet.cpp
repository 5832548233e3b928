// Kind `kubelet`: file systems, volumes, pods and containers as each node's kubelet reports them,
// fetched at the node's own address (permissions: nodes/stats for the summary, nodes/metrics for
// cAdvisor). Each node is a part, so a kubelet that fails affects its own node only.
#include "probes/kubernetes/kubelet/cadvisor.hpp"
#include "probes/kubernetes/kubelet/kubelet_client.hpp"
#include "probes/kubernetes/kubelet/kubelet_samples.hpp"
#include "probes/kubernetes/kubelet/kubelet_summary.hpp"
#include "probes/kubernetes/kubelet/pace.hpp"
#include "probes/kubernetes/objects/label_selector.hpp"
#include "probes/kubernetes/objects/node_object.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/concurrently.hpp"
#include "probes/net/pause.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using Clock = std::chrono::steady_clock;
using kubernetes::KubeletClient;
using kubernetes::KubeletPage;
using kubernetes::Node;
using kubernetes::NodeSamples;

constexpr net::kubernetes::Resource kNodes{.group = "", .version = "v1", .plural = "nodes"};

constexpr KubeletPage kSummaryPage{.path = "/stats/summary", .permission = "nodes/stats"};
constexpr KubeletPage kCadvisorPage{.path = "/metrics/cadvisor", .permission = "nodes/metrics"};

/// The state of a node that is kept between runs.
struct NodeState {
  bool has_failed = false;  // in the last run, or its request is still in flight
  std::string address;      // that was reached last
  kubernetes::NodeCounters counters;
  kubernetes::TargetSelection selected;  // by `namespaces`
};

class KubeletProbe final : public Probe {
 public:
  KubeletProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        selector_(
            options.get<kubernetes::LabelSelector>("selector", {}, "only nodes with these labels")),
        client_(environment, net::TlsOptions::read(options)),
        summary_(options.get<bool>("summary", true,
                                   "file systems, volumes, CPU and memory of nodes and pods")),
        cadvisor_(options.get<bool>("cadvisor", true, "CPU and memory of containers")),
        concurrency_(static_cast<std::size_t>(options.get<std::int64_t>(
            "concurrency", 32, "maximum number of kubelets to query at a time", {1, 1000}))),
        nodes_(std::make_unique<Nodes>(
            environment,
            net::kubernetes::Query{.resource = kNodes, .label_selector = selector_.text()},
            [shard = environment.shard](std::string_view message) -> std::optional<Node> {
              Node node = kubernetes::read_node(message);
              if (!shard.owns(node.name)) return std::nullopt;
              return node;
            })) {
    for (const std::string& name :
         options.list<std::string>("namespaces", "only pods in these namespaces; default: all")) {
      namespaces_.insert(name);
    }
    if (!summary_ && !cadvisor_) {
      options.error("summary", "at least one of summary and cadvisor must be true");
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    if (!co_await nodes_->judge(out, out)) co_return;
    kubernetes::Selection selection;
    nodes_->count(selection);
    co_await client_.load_credentials(out);
    std::erase_if(states_, [&](const auto& entry) { return nodes_->find(entry.first) == nullptr; });
    std::vector<Node> nodes;
    // Nodes that failed in the last run come last: if many nodes hang, such as those of a lost
    // zone, the others must not wait for them.
    for (const bool has_failed : {false, true}) {
      nodes_->for_each([&](const Node& node) {
        if (states_[node.name].has_failed == has_failed) nodes.push_back(node);
      });
    }
    for (Node& node : nodes) {
      out.part(node.name);
      const auto reached = std::ranges::find(node.addresses, states_[node.name].address);
      if (reached != node.addresses.end()) {
        std::rotate(node.addresses.begin(), reached, reached + 1);
      }
    }
    out.doing("querying " + std::to_string(nodes.size()) + " kubelets");

    Run run{.out = out,
            .nodes = nodes,
            .pace = {Clock::now(), out.time_limit(), nodes.size(), concurrency_}};
    std::vector<asio::awaitable<void>> workers;
    for (std::size_t i = 0; i < std::min(concurrency_, nodes.size()); ++i) {
      workers.push_back(work(run));
    }
    co_await net::concurrently(std::move(workers));
    std::size_t index = 0;
    for (const std::string& name : namespaces_) {
      for (const auto& [node, state] : states_) selection.add(name, state.selected, index);
      ++index;
    }
    selection.report(out);
  }

  [[nodiscard]] std::string target() const override {
    return selector_.empty() ? "kubelets of all nodes"
                             : "kubelets of nodes with " + selector_.text();
  }

  [[nodiscard]] bool overlaps(const KubeletProbe& other) const {
    return !selector_.disjoint(other.selector_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<KubeletProbe&>(predecessor);
    nodes_ = std::move(old.nodes_);
    states_ = std::move(old.states_);
    if (old.namespaces_ == namespaces_) return;
    for (auto& [node, state] : states_) state.selected = {};
  }

 private:
  using Nodes = kubernetes::Watched<Node>;

  /// The queue of one run, which its workers share.
  struct Run {
    SampleSet& out;
    std::vector<Node>& nodes;
    kubernetes::Pace pace;
    std::size_t next = 0;
  };

  asio::awaitable<void> work(Run& run) {
    while (run.next < run.nodes.size()) {
      const std::size_t index = run.next++;
      const auto early = run.pace.due(index) - Clock::now();
      if (early > net::TimerWheel::kSlot) co_await net::pause(environment_.wheel, early);
      Node& node = run.nodes[index];
      Part& part = run.out.part(node.name);
      bool& has_failed = states_[node.name].has_failed;
      has_failed = true;
      try {
        co_await query(run, node, run.pace.limit(index, Clock::now()), part);
        has_failed = false;
      } catch (const ProbeError& error) {
        part.fail(error.reason(), error.what());
        states_[node.name].selected.fail();
      }
      if (!node.addresses.empty()) states_[node.name].address = node.addresses.front();
      part.complete();
    }
  }

  [[nodiscard]] std::vector<std::size_t> selected_of(const NodeSamples& samples) const {
    std::vector<std::size_t> objects;
    for (const std::string& name : namespaces_) {
      const auto found = samples.selected().find(name);
      objects.push_back(found == samples.selected().end() ? 0 : found->second);
    }
    return objects;
  }

  /// Queries one kubelet. `limit` applies to each of the two requests. A page that fails does not
  /// affect the samples of the other page. Throws the first ProbeError.
  asio::awaitable<void> query(Run& run, Node& node, config::Duration limit, Part& part) {
    NodeSamples samples(node, namespaces_, states_[node.name].counters, part);
    std::optional<ProbeError> failure;
    if (summary_) {
      try {
        kubernetes::SummaryReader reader;
        co_await client_.get(node, kSummaryPage, limit,
                             [&](std::string_view piece) { reader.feed(piece); });
        samples.add_summary(reader.finish());
      } catch (const ProbeError& error) {
        if (!KubeletClient::has_responded(error)) throw;
        failure = error;
      }
    }
    if (cadvisor_) {
      try {
        kubernetes::CadvisorReader reader(kubernetes::kCadvisorFamilies);
        co_await client_.get(node, kCadvisorPage, limit,
                             [&](std::string_view piece) { reader.feed(piece); });
        samples.add_containers(reader.finish());
        if (reader.is_incomplete()) {
          throw ProbeError(Reason::mismatch,
                           "/metrics/cadvisor is incomplete: container_scrape_error is not 0");
        }
      } catch (const ProbeError& error) {
        if (!failure) failure = error;
      }
    }
    // A page that fails may have the objects that the other page lacks.
    if (!failure || !samples.selected().empty()) {
      states_[node.name].selected.set(selected_of(samples));
    }
    // The samples are rendered here, which spreads the work over the run.
    Rendering rendering;
    std::size_t duplicates = 0;
    samples.samples().render(rendering, run.out.constant_labels(), duplicates);
    part.attach(to_fragment(std::move(rendering)));
    if (failure) throw ProbeError(*failure);
  }

  const Environment& environment_;
  kubernetes::LabelSelector selector_;
  KubeletClient client_;
  bool summary_;
  bool cadvisor_;
  std::size_t concurrency_;
  std::set<std::string> namespaces_;
  std::unique_ptr<Nodes> nodes_;
  std::map<std::string, NodeState> states_;  // by node
};

constexpr WatchingKind kWatching{.first_run_at_once = false,
                                 .overlaps = probes_overlap<KubeletProbe>};
constexpr std::array<Permission, 3> kPermissions = {
    Permission{.group = "", .resource = "nodes", .cluster = true},
    Permission{.group = "",
               .resource = "nodes/stats",
               .verbs = Permission::Verbs::get,
               .cluster = true,
               .unless_false = "summary"},
    Permission{.group = "",
               .resource = "nodes/metrics",
               .verbs = Permission::Verbs::get,
               .cluster = true,
               .unless_false = "cadvisor"}};

}  // namespace

namespace kinds {
extern const ProbeKind kubelet;
const ProbeKind kubelet = {
    .name = "kubelet",
    .help = "Disks, memory and CPU of nodes, volumes and containers, as the kubelets report them.",
    .make = make_probe<KubeletProbe>,
    .metrics = kubernetes::kKubeletMetrics,
    .checks = kubernetes::kKubeletChecks,
    .permissions = kPermissions,
    .watching = &kWatching,
};
}  // namespace kinds

}  // namespace vitalsd
