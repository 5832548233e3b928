// The nodes of a cluster that the Prometheus plug-in reports one by one: which node responds at
// which address, and the queues of a node that does not respond. A node reports only the queues
// whose leader it has. Probe loop only.
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

  /// A node without an address or a response for so long counts as removed from the cluster,
  /// unless the management API lists it.
  static constexpr std::chrono::hours kForget{1};
  /// An address that has responded as different nodes is not used before it has responded as one
  /// node in so many runs.
  static constexpr int kTrust = 10;

  /// Starts a run. Addresses that this run does not report are forgotten.
  void begin_run();

  /// Records what an address returned. Throws ProbeError(mismatch) if it responded as another node
  /// before, or if the node belongs to another cluster than the last one.
  void add(const std::string& address, NodePage page, Time now);
  /// Records that an address did not respond.
  void add_failure(const std::string& address, std::string error);

  /// Ends a run. `managed`: the nodes according to the management API; null if unknown.
  void end_run(const std::vector<ManagedNode>* managed, Time now);

  // The results of the run, until the next one starts.

  /// What is wrong: the nodes that did not respond, with the errors of their addresses. Empty if
  /// all responded.
  [[nodiscard]] const std::string& problem() const { return problem_; }
  /// Whether a node responded, by name.
  [[nodiscard]] std::map<std::string, bool> nodes() const;
  /// The queues of the nodes that responded.
  std::vector<std::vector<Queue>*> current();
  /// The queues of nodes that did not respond in this run, but in the one before: a lost response
  /// must not reset a pending alert.
  std::vector<std::vector<Queue>*> previous();

 private:
  struct Node {
    std::vector<Queue> queues;
    unsigned missed = 0;  // runs in a row without a response
    Time responded{};
  };
  struct Address {
    std::string node{};   // that responded last
    std::string other{};  // that responded before, if another one did
    int suspect = 0;      // runs until it is trusted again
    bool is_reported = true;
    std::optional<std::string> error{};
  };

  std::string id_;  // of the cluster that responds
  std::map<std::string, Node> nodes_;
  std::map<std::string, Address> addresses_;
  std::string problem_;
};

}  // namespace vitalsd::rabbitmq
