#include "probes/rabbitmq/cluster.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <utility>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace vitalsd::rabbitmq {

void Cluster::begin_run() {
  id_.clear();
  problem_.clear();
  std::erase_if(addresses_, [](const auto& entry) { return !entry.second.is_reported; });
  for (auto& [name, address] : addresses_) address.is_reported = false;
  for (auto& [name, node] : nodes_) ++node.missed;
}

void Cluster::add(const std::string& address, NodePage page, Time now) {
  if (!id_.empty() && !page.cluster.empty() && id_ != page.cluster) {
    throw ProbeError(
        Reason::mismatch,
        fmt::format("{} belongs to the cluster {}, but another address belongs to {}: one "
                    "probe observes one cluster",
                    address, page.cluster, id_));
  }
  if (!page.cluster.empty()) id_ = page.cluster;
  Address& entry = addresses_[address];
  entry.is_reported = true;
  // A node may move to another address, but not while its old address still responds as that node.
  if (!entry.node.empty() && entry.node != page.node && !entry.error) {
    entry.suspect = kTrust;
    entry.other = std::exchange(entry.node, page.node);
  }
  entry.node = page.node;
  entry.error.reset();
  if (entry.suspect > 0) {
    --entry.suspect;
    throw ProbeError(
        Reason::mismatch,
        fmt::format("{} responds as {} and as {}, like a load balancer or a ClusterIP Service, "
                    "which hides the other nodes: use the name of the headless Service (such as "
                    "rabbitmq-nodes or rabbitmq-headless), which has the address of each node",
                    address, entry.node, entry.other));
  }
  Node& node = nodes_[page.node];
  // A node with an IPv4 and an IPv6 address responds twice.
  if (std::exchange(node.missed, 0) == 0 && node.responded == now) return;
  node.responded = now;
  node.queues = std::move(page.queues);
}

void Cluster::add_failure(const std::string& address, std::string error) {
  Address& entry = addresses_[address];
  entry.is_reported = true;
  entry.error = std::move(error);
}

void Cluster::end_run(const std::vector<ManagedNode>* managed, Time now) {
  const auto is_member = [&](const std::string& name) {
    return std::ranges::find(*managed, name, &ManagedNode::name) != managed->end();
  };
  std::erase_if(nodes_, [&](const auto& entry) {
    const auto& [name, node] = entry;
    if (node.missed == 0) return false;
    return managed != nullptr ? !is_member(name) : now - node.responded > kForget;
  });
  if (managed != nullptr) {
    for (const ManagedNode& node : *managed) {
      if (!nodes_.contains(node.name)) nodes_[node.name].missed = 2;
    }
  }

  std::vector<std::string> missing;
  for (const auto& [name, node] : nodes_) {
    if (node.missed > 0) missing.push_back(name);
  }
  std::vector<std::string> errors;
  std::size_t reported = 0;
  for (const auto& [address, entry] : addresses_) {
    if (!entry.is_reported) continue;
    ++reported;
    if (!entry.error) continue;
    // Skips a further address of a node that has responded.
    const auto node = nodes_.find(entry.node);
    if (node != nodes_.end() && node->second.missed == 0) continue;
    errors.push_back(address + ": " + *entry.error);
  }
  if (missing.empty() && errors.empty()) return;
  if (!missing.empty()) {
    problem_ = fmt::format("{} of {} nodes respond; the queues of {} are unknown",
                           nodes_.size() - missing.size(), nodes_.size(), fmt::join(missing, ", "));
  }
  if (!errors.empty()) {
    problem_ += fmt::format("{}{}", problem_.empty() ? "" : "; ", fmt::join(errors, "; "));
  } else if (reported < nodes_.size()) {
    problem_ += "; urls must have the address of each node, or the name of the headless Service";
  }
}

std::map<std::string, bool> Cluster::nodes() const {
  std::map<std::string, bool> out;
  for (const auto& [name, node] : nodes_) out[name] = node.missed == 0;
  return out;
}

std::vector<std::vector<Queue>*> Cluster::current() {
  std::vector<std::vector<Queue>*> out;
  for (auto& [name, node] : nodes_) {
    if (node.missed == 0) out.push_back(&node.queues);
  }
  return out;
}

std::vector<std::vector<Queue>*> Cluster::previous() {
  std::vector<std::vector<Queue>*> out;
  for (auto& [name, node] : nodes_) {
    if (node.missed == 1) out.push_back(&node.queues);
  }
  return out;
}

}  // namespace vitalsd::rabbitmq
