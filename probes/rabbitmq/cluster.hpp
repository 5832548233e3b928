// The nodes of a cluster, which the Prometheus plug-in reports one by one: which node responds at
// which address, and the queues of a node that does not respond. A node reports only the queues
// whose leader is on that node. Probe loop only.
#pragma once

#include "probes/rabbitmq/management.hpp"
#include "probes/rabbitmq/node_page.hpp"
#include "probes/rabbitmq/queue.hpp"

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace vitalsd::rabbitmq {

class Cluster {
 public:
  using Time = std::chrono::steady_clock::time_point;

  /// A node that has had no address or response for this time counts as removed from the cluster,
  /// unless the management API lists it.
  static constexpr std::chrono::hours kForget{1};
  /// The number of runs in a row in which an address must respond as the same node before it is
  /// used again, after it has responded as different nodes.
  static constexpr int kTrust = 10;

  /// Starts a run. Addresses that are not reported in this run are removed.
  void begin_run();

  /// Records the response of an address. Throws ProbeError(mismatch) if the address responded as
  /// another node before, or if the node belongs to another cluster than the last node.
  void add(const std::string& address, NodePage page, Time now);
  /// Records that an address did not respond.
  void add_failure(const std::string& address, std::string error);

  /// Ends a run. `managed` lists the nodes according to the management API; null if they are
  /// unknown.
  void end_run(const std::vector<ManagedNode>* managed, Time now);

  // The results of the run, until the next one starts.

  /// The nodes that did not respond, with the errors of their addresses. Empty if all nodes
  /// responded.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// Whether a node responded, by name.
  [[nodiscard]] std::map<std::string, bool> nodes() const;
  /// The queues of the nodes that responded.
  std::vector<std::vector<Queue>*> current();
  /// The queues of nodes that did not respond in this run, but in the previous one: a lost response
  /// must not reset a pending alert.
  std::vector<std::vector<Queue>*> previous();

 private:
  struct Node {
    std::vector<Queue> queues;
    unsigned missed = 0;  // runs in a row without a response
    Time responded{};
  };
  struct Address {
    std::string node{};   // the node that responded last
    std::string other{};  // the node that responded before, if it was another one
    int suspect = 0;      // runs until the address is trusted again
    bool is_reported = true;
    std::optional<std::string> error{};
  };

  std::string id_;  // the id of the cluster that responds
  std::map<std::string, Node> nodes_;
  std::map<std::string, Address> addresses_;
  std::string problem_;
};

}  // namespace vitalsd::rabbitmq
