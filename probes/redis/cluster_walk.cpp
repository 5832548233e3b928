#include "probes/redis/cluster_walk.hpp"

#include "config/endpoint.hpp"
#include "probes/net/within.hpp"

#include <algorithm>
#include <cstddef>
#include <iterator>

namespace vitalsd::redis {
namespace {

using net::RedisConnection;
using net::RedisReply;

// Where a node can be reached, or nothing if it has no valid address. With TLS, a certificate is
// more often for the name than for the address.
std::optional<config::Endpoint> endpoint_of(const ClusterNode& node, bool tls) {
  const std::size_t colon = node.address.rfind(':');
  if (colon == std::string::npos) return std::nullopt;
  const auto port = config::parse_port(std::string_view(node.address).substr(colon + 1));
  const std::string host =
      tls && !node.hostname.empty() ? node.hostname : node.address.substr(0, colon);
  // A path would be that of a Unix socket.
  if (!port || (!config::is_host_name(host) && !config::is_address(host))) return std::nullopt;
  return config::Endpoint{host, *port};
}

}  // namespace

ClusterView read_view(const RedisInfo& info) {
  ClusterView view{.reached = true,
                   .problem = {},
                   .state = info.is("cluster_state", "ok"),
                   .slots_ok = info.number("cluster_slots_ok"),
                   .slots_pfail = info.number("cluster_slots_pfail"),
                   .slots_fail = info.number("cluster_slots_fail")};
  if (view.state != 1) view.problem = "cluster down";
  return view;
}

void ClusterWalk::learn(const ClusterNodes& nodes, const ClusterReplies& replies) {
  nodes_.clear();
  is_down_ = read_view(RedisInfo(replies.info)).state != 1;
  std::map<std::string, Visit> visits;
  for (const ClusterNode& node : nodes.nodes) {
    if (nodes_.size() == kMaxListedNodes) break;
    if (node.failed || !endpoint_of(node, seed_.tls.has_value())) continue;
    nodes_.push_back(node);
    if (node.myself) {
      visits[node.id] = {read_view(RedisInfo(replies.info)), Clock::now()};
    } else if (const auto known = visits_.find(node.id); known != visits_.end()) {
      visits.insert(visits_.extract(known));
    }
  }
  visits_ = std::move(visits);
}

asio::awaitable<void> ClusterWalk::talk(net::RedisOptions options, Ask what, Answer& answer,
                                        SampleSet& out) {
  RedisConnection connection = co_await RedisConnection::open(environment_, options, out);
  if (what == Ask::info_and_nodes) {
    answer.replies = co_await ask_cluster(connection, out);
    co_return;
  }
  out.doing("waiting for CLUSTER INFO of " + options.endpoint.text());
  std::vector<std::string> words = {"CLUSTER", "INFO"};
  RedisReply reply = co_await connection.expect(std::move(words), RedisReply::Kind::text);
  answer.replies = ClusterReplies{.info = std::move(reply.text), .nodes = {}};
}

asio::awaitable<ClusterWalk::Answer> ClusterWalk::ask(const ClusterNode& node, Ask what,
                                                      SampleSet& out) {
  net::RedisOptions options = seed_;
  options.endpoint = endpoint_of(node, seed_.tls.has_value()).value();
  options.database = 0;  // a cluster has no other
  constexpr std::chrono::milliseconds kLimit{1000};
  const auto limit = std::min(kLimit, out.time_limit() / 8);
  Answer answer;
  try {
    if (!co_await net::within(environment_.wheel, limit, talk(options, what, answer, out))) {
      answer.problem = reason_name(Reason::timeout);
    }
  } catch (const ProbeError& error) {
    if (error.reason() == Reason::internal) throw;
    answer.problem = reason_name(error.reason());
  }
  co_return answer;
}

asio::awaitable<void> ClusterWalk::visit(SampleSet& out) {
  const auto end = Clock::now() + out.time_limit() / 4;
  std::vector<std::pair<Clock::time_point, const ClusterNode*>> due;
  for (const ClusterNode& node : nodes_) {
    const auto visit = visits_.find(node.id);
    if (visit == visits_.end()) {
      due.emplace_back(Clock::time_point::min(), &node);
    } else if (const auto& [view, at] = visit->second;
               !view.problem.empty() || at < Clock::now() - kInterval) {
      due.emplace_back(at, &node);
    }
  }
  std::ranges::sort(due);
  for (const auto& [at, node] : due) {
    if (Clock::now() >= end) break;  // the others are the first in the next run
    Answer answer = co_await ask(*node, Ask::info, out);
    ClusterView view;
    view.problem = std::move(answer.problem);
    if (answer.replies) view = read_view(RedisInfo(std::move(answer.replies->info)));
    visits_[node->id] = {std::move(view), Clock::now()};
  }
  publish(out);
}

void ClusterWalk::publish(SampleSet& out) const {
  Part& part = out.part("cluster");
  std::vector<std::string> problems;
  for (const ClusterNode& node : nodes_) {
    const auto visit = visits_.find(node.id);
    if (visit == visits_.end()) continue;
    const ClusterView& view = visit->second.view;
    kClusterViewTable.add(part, view, node.id, node.address);
    // The check of the cluster's state reports what all nodes see.
    if (is_down_ && view.reached) continue;
    if (!view.problem.empty()) problems.push_back(node.address + " (" + view.problem + ')');
  }
  part.check(kViewsCheck, static_cast<double>(problems.size()), list_names(problems));
}

asio::awaitable<bool> ClusterWalk::stand_in(bool replicas_expected, SampleSet& out) {
  if (nodes_.empty()) co_return false;
  const auto end = Clock::now() + out.time_limit() / 4;
  bool answered = false;
  for (std::size_t i = 0; i < nodes_.size() && !answered && Clock::now() < end; ++i) {
    const ClusterNode node = nodes_.front();
    const Answer answer = co_await ask(node, Ask::info_and_nodes, out);
    answered = answer.replies.has_value();
    if (answered) {
      learn(add_cluster(*answer.replies, replicas_expected, out), *answer.replies);
    } else {
      std::ranges::rotate(nodes_, std::next(nodes_.begin()));  // the next run starts with another
    }
  }
  co_await visit(out);
  co_return answered;
}

}  // namespace vitalsd::redis
