#include "probes/redis/cluster.hpp"

#include "probes/net/redis_connection.hpp"

#include <algorithm>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd::redis {
namespace {

constexpr double kSlots = 16'384;

double unserved_slots(const RedisInfo& info) {
  // A node that considers the cluster down refuses all requests.
  if (info.is("cluster_state", "ok") != 1) return kSlots;
  return kSlots - info.number("cluster_slots_ok").value_or(kSlots) -
         info.number("cluster_slots_pfail").value_or(0);
}

// Sends a command whose reply is a text. If the server refuses it, fails `part` and returns
// nothing. Throws ProbeError for errors of the connection.
asio::awaitable<std::optional<std::string>> ask_text(net::RedisConnection& connection,
                                                     std::vector<std::string> words, Part& part,
                                                     SampleSet& out) {
  std::string name = words.front();
  for (std::size_t i = 1; i < words.size(); ++i) name += ' ' + words[i];
  out.doing("waiting for " + name);
  net::RedisReply reply = co_await connection.ask(std::move(words));
  if (reply.kind == net::RedisReply::Kind::text) co_return std::move(reply.text);
  const ProbeError error = net::redis_error(reply.kind == net::RedisReply::Kind::error
                                                ? reply.text
                                                : "the reply to " + name + " is not a text");
  std::string detail = name + ": " + error.what();
  if (error.reason() == Reason::permission) {
    detail += "; grant +cluster|info and +cluster|nodes with ACL SETUSER";
  }
  part.fail(error.reason(), std::move(detail));
  part.complete();
  co_return std::nullopt;
}

}  // namespace

std::string list_names(const std::vector<std::string>& names) {
  constexpr std::size_t kMaxNames = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxNames) text += ", ...";
  return text;
}

asio::awaitable<std::optional<ClusterReplies>> ask_cluster(net::RedisConnection& connection,
                                                           SampleSet& out) {
  Part& part = out.part("cluster");
  std::optional<std::string> info = co_await ask_text(connection, {"CLUSTER", "INFO"}, part, out);
  if (!info) co_return std::nullopt;
  co_return ClusterReplies{.info = std::move(*info),
                           .nodes = co_await ask_text(connection, {"CLUSTER", "NODES"}, part, out)};
}

ClusterNodes add_cluster(const ClusterReplies& replies, bool replicas_expected, SampleSet& out) {
  Part& part = out.part("cluster");
  const RedisInfo info(replies.info);
  kClusterTable.add(part, info);
  part.check(kSlotsCheck, unserved_slots(info));
  part.complete();
  if (!replies.nodes) return {};
  ClusterNodes nodes = read_cluster_nodes(*replies.nodes);
  add_cluster_nodes(nodes, part);
  part.check(kFailedNodesCheck, static_cast<double>(nodes.failed.size()), list_names(nodes.failed));
  if (replicas_expected) {
    part.check(kShardsCheck, static_cast<double>(nodes.shards_without_replica));
    part.check(kOneHostCheck, static_cast<double>(nodes.on_one_host.size()),
               list_names(nodes.on_one_host));
  }
  return nodes;
}

}  // namespace vitalsd::redis
