#include "probes/redis/cluster_nodes.hpp"

#include "probes/redis/info.hpp"

#include <algorithm>
#include <charconv>
#include <map>
#include <optional>
#include <ranges>
#include <system_error>
#include <tuple>

namespace vitalsd::redis {
namespace {

// The text up to `delimiter`, which is removed from the front of `text` with it.
std::string_view next_word(std::string_view& text, char delimiter) {
  const std::size_t end = std::min(text.find(delimiter), text.size());
  const std::string_view word = text.substr(0, end);
  text.remove_prefix(std::min(end + 1, text.size()));
  return word;
}

bool has_flag(std::string_view flags, std::string_view flag) {
  while (!flags.empty()) {
    if (next_word(flags, ',') == flag) return true;
  }
  return false;
}

std::optional<std::size_t> to_slot(std::string_view text) {
  constexpr std::size_t kSlots = 16'384;
  std::size_t slot = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), slot);
  const bool valid = error == std::errc() && end == text.data() + text.size() && slot < kSlots;
  return valid ? std::optional(slot) : std::nullopt;
}

// Slots and ranges of slots: "0-5460 5462 [93-<-ID]". Those in brackets are migrating, and are
// counted where they are assigned.
std::size_t count_slots(std::string_view text) {
  std::size_t count = 0;
  while (!text.empty()) {
    std::string_view range = next_word(text, ' ');
    const std::optional<std::size_t> first = to_slot(next_word(range, '-'));
    const std::optional<std::size_t> last = range.empty() ? first : to_slot(range);
    if (first && last && *first <= *last) count += *last - *first + 1;
  }
  return count;
}

// Reads "10.0.0.1:6379@16379,redis-1,shard-id=...". The name is "" or "?" if it is not known.
void read_address(std::string_view text, ClusterNode& node) {
  std::string_view client = next_word(text, ',');
  node.address = next_word(client, '@');
  const std::string_view hostname = next_word(text, ',');
  if (hostname != "?") node.hostname = hostname;
  while (!text.empty()) {
    std::string_view value = next_word(text, ',');
    if (next_word(value, '=') == "shard-id") node.shard = value;
  }
}

std::string_view host_of(std::string_view address) { return address.substr(0, address.rfind(':')); }

struct Line {
  ClusterNode node;
  std::string_view master;  // its ID; "-" if the node is a master
};

// ID, address, flags, master, two times of messages, epoch, link, slots.
std::optional<Line> read_line(std::string_view text) {
  Line line;
  ClusterNode& node = line.node;
  node.id = next_word(text, ' ');
  read_address(next_word(text, ' '), node);
  const std::string_view flags = next_word(text, ' ');
  line.master = next_word(text, ' ');
  for (int i = 0; i < 3; ++i) next_word(text, ' ');
  if (next_word(text, ' ').empty() || has_flag(flags, "handshake")) return std::nullopt;
  node.myself = has_flag(flags, "myself");
  node.master = has_flag(flags, "master");
  node.failed = has_flag(flags, "fail");
  node.suspected = has_flag(flags, "fail?");
  node.slots = count_slots(text);
  if (node.shard.empty()) node.shard = node.master ? std::string_view(node.id) : line.master;
  return line;
}

struct Replicas {
  std::size_t all = 0;    // that are not failed
  std::size_t local = 0;  // of them, those on the master's host
};

}  // namespace

ClusterNodes read_cluster_nodes(std::string_view text) {
  std::vector<Line> lines;
  while (!text.empty() && lines.size() < ClusterNodes::kMaxRead) {
    std::string_view line = next_word(text, '\n');
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (auto read = read_line(line)) lines.push_back(std::move(*read));
  }
  remove_repeated(lines, [](const Line& line) { return std::string_view(line.node.id); });
  std::map<std::string_view, std::string_view> hosts;  // of masters, by ID
  for (const auto& [node, master] : lines) {
    if (node.master) hosts.emplace(node.id, host_of(node.address));
  }
  std::map<std::string_view, Replicas> replicas;  // by ID of the master
  for (const auto& [node, master] : lines) {
    const auto host = hosts.find(master);
    if (node.master || node.failed || host == hosts.end()) continue;
    Replicas& of_master = replicas[master];
    ++of_master.all;
    if (host_of(node.address) == host->second) ++of_master.local;
  }
  ClusterNodes result;
  for (auto& [node, master] : lines) {
    if (node.failed) result.failed.push_back(node.address);
    if (node.suspected) ++result.suspected;
    const auto found = replicas.find(node.id);
    const Replicas own = found == replicas.end() ? Replicas{} : found->second;
    node.replicas = own.all;
    if (!node.master || node.slots == 0) continue;
    if (own.all == 0) {
      ++result.shards_without_replica;
    } else if (own.all == own.local) {
      result.on_one_host.push_back(node.address);
    }
  }
  for (Line& line : lines) result.nodes.push_back(std::move(line.node));
  std::ranges::sort(result.nodes, {}, [](const ClusterNode& node) {
    return std::tuple(node.up(), std::string_view(node.id));
  });
  std::ranges::sort(result.failed);
  std::ranges::sort(result.on_one_host);
  return result;
}

void add_cluster_nodes(const ClusterNodes& nodes, Part& out) {
  kClusterNodesTable.add(out, nodes);
  // During a failover, two masters of a shard may have slots.
  std::map<std::string, double> replicas;
  for (const ClusterNode& node : nodes.nodes | std::views::take(kMaxListedNodes)) {
    kClusterNodeTable.add(out, node, node.id, node.address);
    if (node.master && node.slots > 0) {
      replicas[printable_utf8(node.shard)] += static_cast<double>(node.replicas);
    }
  }
  for (const auto& [shard, count] : replicas) out.add(kShardReplicas, count, shard);
  if (nodes.nodes.size() > kMaxListedNodes) {
    out.add(kUnlistedNodes, static_cast<double>(nodes.nodes.size() - kMaxListedNodes));
  }
}

}  // namespace vitalsd::redis
