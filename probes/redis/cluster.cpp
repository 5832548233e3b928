#include "probes/redis/cluster.hpp"

#include "probes/net/redis_connection.hpp"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd::redis {
namespace {

constexpr double kSlots = 16'384;

// The next word of a line.
std::string_view next_word(std::string_view& line) {
  const std::size_t end = std::min(line.find(' '), line.size());
  const std::string_view word = line.substr(0, end);
  line.remove_prefix(std::min(end + 1, line.size()));
  return word;
}

bool has_flag(std::string_view flags, std::string_view flag) {
  while (!flags.empty()) {
    const std::size_t end = std::min(flags.find(','), flags.size());
    if (flags.substr(0, end) == flag) return true;
    flags.remove_prefix(std::min(end + 1, flags.size()));
  }
  return false;
}

// "10.0.0.1:6379@16379,name" without the port of the cluster bus and the name.
std::string_view client_address(std::string_view address) {
  return address.substr(0, address.find_first_of("@,"));
}

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

ClusterNodes read_cluster_nodes(std::string_view text) {
  ClusterNodes nodes;
  std::map<std::string_view, bool> shards;  // whether a master with slots has a working replica
  std::vector<std::string_view> followed;   // masters of working replicas
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, end);
    text.remove_prefix(std::min(end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    const std::string_view id = next_word(line);
    const std::string_view address = next_word(line);
    const std::string_view flags = next_word(line);
    const std::string_view master = next_word(line);
    for (int i = 0; i < 3; ++i) next_word(line);  // times of messages, epoch
    const std::string_view link = next_word(line);
    if (link.empty()) continue;
    const bool failed = has_flag(flags, "fail");
    if (failed) nodes.failed.emplace_back(client_address(address));
    if (has_flag(flags, "fail?")) ++nodes.suspected;
    if (has_flag(flags, "master") && !line.empty()) {
      shards.try_emplace(id, false);
    } else if (has_flag(flags, "slave") && !failed) {
      followed.push_back(master);
    }
  }
  for (const std::string_view master : followed) {
    if (const auto shard = shards.find(master); shard != shards.end()) shard->second = true;
  }
  nodes.shards_without_replica = static_cast<std::size_t>(
      std::ranges::count(shards, false, &std::pair<const std::string_view, bool>::second));
  std::ranges::sort(nodes.failed);
  return nodes;
}

asio::awaitable<void> add_cluster(net::RedisConnection& connection, bool replicas_expected,
                                  SampleSet& out) {
  Part& part = out.part("cluster");
  const std::optional<std::string> summary =
      co_await ask_text(connection, {"CLUSTER", "INFO"}, part, out);
  if (!summary) co_return;
  const RedisInfo info(*summary);
  kClusterTable.add(part, info);
  part.check(kSlotsCheck, unserved_slots(info));
  const std::optional<std::string> list =
      co_await ask_text(connection, {"CLUSTER", "NODES"}, part, out);
  if (!list) co_return;
  const ClusterNodes nodes = read_cluster_nodes(*list);
  kClusterNodesTable.add(part, nodes);
  std::string names;
  constexpr std::size_t kMaxNames = 10;
  for (std::size_t i = 0; i < std::min(nodes.failed.size(), kMaxNames); ++i) {
    names += (i == 0 ? "" : ", ") + nodes.failed[i];
  }
  if (nodes.failed.size() > kMaxNames) names += ", ...";
  part.check(kFailedNodesCheck, static_cast<double>(nodes.failed.size()), names);
  if (replicas_expected) {
    part.check(kShardsCheck, static_cast<double>(nodes.shards_without_replica));
  }
  part.complete();
}

}  // namespace vitalsd::redis
