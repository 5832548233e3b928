// The option cluster_nodes: the cluster as each of its nodes sees it. The probe visits the other
// nodes by short connections, one at a time. A node that is cut off from the others believes that
// they are down, which only its own view shows.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/redis_connection.hpp"
#include "probes/probe.hpp"
#include "probes/redis/cluster.hpp"
#include "probes/redis/info.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::redis {

/// The cluster as one node sees it.
struct ClusterView {
  bool reached = false;         ///< whether the node answered; otherwise the others are not known
  std::string problem;          ///< why it is not healthy, in words; empty if it is
  std::optional<double> state;  ///< 1 if it considers the cluster able to serve, otherwise 0
  std::optional<double> slots_ok;
  std::optional<double> slots_pfail;
  std::optional<double> slots_fail;
};

/// The view that the reply to CLUSTER INFO describes. Pure.
ClusterView read_view(const RedisInfo& info);

/// Labels: node_id, address.
inline constexpr MetricTable kClusterViewTable(
    MetricRow{Metric({.name = "redis_cluster_node_reached",
                      .help = "Whether vitalsd has reached a node of the cluster, if the option "
                              "cluster_nodes is set."},
                     "node_id", "address"),
              [](const ClusterView& view) { return view.reached; }},
    MetricRow{Metric({.name = "redis_cluster_node_state",
                      .help = "Whether the cluster serves requests, as this node of it sees it."},
                     "node_id", "address"),
              [](const ClusterView& view) { return view.state; }},
    MetricRow{Metric({.name = "redis_cluster_node_slots_ok",
                      .help = "Hash slots whose node is neither suspected nor considered "
                              "failed, as this node sees it."},
                     "node_id", "address"),
              [](const ClusterView& view) { return view.slots_ok; }},
    MetricRow{
        Metric({.name = "redis_cluster_node_slots_pfail",
                .help = "Hash slots whose node is suspected to be down, as this node sees it."},
               "node_id", "address"),
        [](const ClusterView& view) { return view.slots_pfail; }},
    MetricRow{Metric({.name = "redis_cluster_node_slots_fail",
                      .help = "Hash slots whose node is considered failed, as this node sees it."},
                     "node_id", "address"),
              [](const ClusterView& view) { return view.slots_fail; }});

inline constexpr Check kViewsCheck{
    .name = "cluster_views",
    .worse = Worse::above,
    .warn = 0,
    .critical = {},
    .help =
        "nodes that the cluster considers healthy, but that cannot be reached or do not see a "
        "healthy cluster, if the option cluster_nodes is set"};

/// Each probe with the option cluster_nodes has one.
class ClusterWalk {
 public:
  /// A node is visited again after this time, one with a problem in the next run.
  static constexpr std::chrono::seconds kInterval{60};

  /// `seed` has the user, the password and the TLS options for all nodes. Both references must be
  /// valid as long as the walk.
  ClusterWalk(const Environment& environment, const net::RedisOptions& seed)
      : environment_(environment), seed_(seed) {}

  /// Takes over what the walk of a probe with the same connection has found.
  void inherit(ClusterWalk& old) {
    nodes_ = std::move(old.nodes_);
    visits_ = std::move(old.visits_);
    is_down_ = old.is_down_;
  }

  /// Replaces the nodes by those of a list that can be asked, at most kMaxListedNodes, and stores
  /// the view of the node that replied.
  void learn(const ClusterNodes& nodes, const ClusterReplies& replies);

  /// Starts visits of the nodes that are due for a quarter of the run's time limit; each takes at
  /// most an eighth of it, or one second. Publishes the views of all visited nodes. Throws
  /// ProbeError for internal errors only.
  asio::awaitable<void> visit(SampleSet& out);

  /// Call it at the start of a run if the last run did not read the probed node. Publishes the
  /// cluster as the first known node that answers sees it, and calls visit(). Asks nodes for a
  /// quarter of the time limit. Returns false if none answers. Throws ProbeError for internal
  /// errors only.
  asio::awaitable<bool> stand_in(bool replicas_expected, SampleSet& out);

 private:
  using Clock = std::chrono::steady_clock;
  struct Visit {
    ClusterView view;
    Clock::time_point at;
  };
  struct Answer {
    std::optional<ClusterReplies> replies;
    std::string problem;  // if there are no replies
  };
  /// The commands of a visit.
  enum class Ask : unsigned char { info, info_and_nodes };

  asio::awaitable<Answer> ask(const ClusterNode& node, Ask what, SampleSet& out);
  asio::awaitable<void> talk(net::RedisOptions options, Ask what, Answer& answer, SampleSet& out);
  void publish(SampleSet& out) const;

  const Environment& environment_;
  const net::RedisOptions& seed_;
  bool is_down_ = false;                 // the cluster, as the node that replied last sees it
  std::vector<ClusterNode> nodes_;       // that have an address and are not failed
  std::map<std::string, Visit> visits_;  // by ID, of nodes_ only
};

}  // namespace vitalsd::redis
