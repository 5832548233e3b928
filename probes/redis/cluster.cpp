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

std::string_view host_of(std::string_view address) {
  const std::string_view client = client_address(address);
  return client.substr(0, client.rfind(':'));
}

// A master with slots.
struct Shard {
  std::string_view address;
  std::size_t replicas = 0;        // that work
  std::size_t local_replicas = 0;  // of them, those on the master's host
};

// The first names, and "..." for the others.
std::string list_names(const std::vector<std::string>& names) {
  constexpr std::size_t kMaxNames = 10;
  std::string text;
  for (std::size_t i = 0; i < std::min(names.size(), kMaxNames); ++i) {
    text += (i == 0 ? "" : ", ") + names[i];
  }
  if (names.size() > kMaxNames) text += ", ...";
  return text;
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
  std::map<std::string_view, Shard> shards;                             // by ID of the master
  std::vector<std::pair<std::string_view, std::string_view>> replicas;  // master and address
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
      shards.try_emplace(id, Shard{.address = address});
    } else if (has_flag(flags, "slave") && !failed) {
      replicas.emplace_back(master, address);
    }
  }
  for (const auto& [master, address] : replicas) {
    const auto found = shards.find(master);
    if (found == shards.end()) continue;
    Shard& shard = found->second;
    ++shard.replicas;
    if (host_of(address) == host_of(shard.address)) ++shard.local_replicas;
  }
  for (const auto& [id, shard] : shards) {
    if (shard.replicas == 0) {
      ++nodes.shards_without_replica;
    } else if (shard.replicas == shard.local_replicas) {
      nodes.on_one_host.emplace_back(client_address(shard.address));
    }
  }
  std::ranges::sort(nodes.failed);
  std::ranges::sort(nodes.on_one_host);
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
  part.check(kFailedNodesCheck, static_cast<double>(nodes.failed.size()), list_names(nodes.failed));
  if (replicas_expected) {
    part.check(kShardsCheck, static_cast<double>(nodes.shards_without_replica));
    part.check(kOneHostCheck, static_cast<double>(nodes.on_one_host.size()),
               list_names(nodes.on_one_host));
  }
  part.complete();
}

}  // namespace vitalsd::redis
