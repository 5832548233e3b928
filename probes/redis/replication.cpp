#include "probes/redis/replication.hpp"

#include <algorithm>

namespace vitalsd::redis {
namespace {

// -1 means that the server does not know.
std::optional<double> known(std::optional<double> value) {
  return value && *value >= 0 ? value : std::nullopt;
}

std::string address(std::string_view host, std::string_view port) {
  return std::string(host) + ':' + std::string(port);
}

}  // namespace

std::vector<MasterLink> read_masters(const RedisInfo& info) {
  constexpr std::size_t kMaxMasters = 16;
  std::vector<MasterLink> links;
  // KeyDB numbers all masters but the first.
  for (std::string prefix = "master_";
       links.size() < kMaxMasters && !info.text(prefix + "host").empty();
       prefix = "master_" + std::to_string(links.size()) + '_') {
    links.push_back({.host = info.text(prefix + "host"),
                     .port = info.text(prefix + "port"),
                     .up = info.is(prefix + "link_status", "up"),
                     .last_io_seconds = known(info.number(prefix + "last_io_seconds_ago")),
                     .sync_in_progress = info.number(prefix + "sync_in_progress"),
                     .down_since_seconds = known(info.number(prefix + "link_down_since_seconds"))});
  }
  remove_repeated(links, [](const MasterLink& link) { return address(link.host, link.port); });
  return links;
}

std::vector<Replica> read_replicas(const RedisInfo& info) {
  std::vector<Replica> replicas;
  for (const auto& [field, compound] : info.numbered("slave")) {
    replicas.push_back({.ip = sub_field(compound, "ip"),
                        .port = sub_field(compound, "port"),
                        .state = sub_field(compound, "state"),
                        .offset = known(to_number(sub_field(compound, "offset"))),
                        .lag_seconds = known(to_number(sub_field(compound, "lag")))});
  }
  // A replica that connects again is listed twice until its first connection times out.
  std::ranges::reverse(replicas);
  remove_repeated(replicas,
                  [](const Replica& replica) { return address(replica.ip, replica.port); });
  std::ranges::reverse(replicas);
  return replicas;
}

void Replication::add(const RedisInfo& info, std::optional<std::int64_t> expected, SampleSet& out) {
  kReplicationTable.add(out, info);
  // A replica that has never been connected since it started reports no time.
  double down_since = info.number("uptime_in_seconds").value_or(0);
  bool down = false;
  const std::vector<MasterLink> masters = read_masters(info);
  for (const MasterLink& link : masters) {
    kMasterTable.add(out, link, link.host, link.port);
    if (link.up != 0) continue;
    down = true;
    down_since = std::min(down_since, link.down_since_seconds.value_or(down_since));
  }
  const double down_for = down_.update(std::chrono::steady_clock::now(), down, down_since);
  if (!masters.empty()) out.check(kMasterLinkCheck, down_for);

  const std::vector<Replica> replicas = read_replicas(info);
  std::size_t online = 0;
  std::size_t published = 0;
  for (const Replica& replica : replicas) {
    if (replica.state == "online") ++online;
    if (++published > kMaxReplicas) continue;
    kReplicaTable.add(out, replica, replica.ip, replica.port, replica.state);
    if (replica.lag_seconds) {
      out.check(kReplicaLagCheck, *replica.lag_seconds, address(replica.ip, replica.port));
    }
  }
  if (expected && masters.empty()) {
    out.check(kReplicasCheck, static_cast<double>(online), {},
              {.warn = {}, .critical = static_cast<double>(*expected)});
  }
}

}  // namespace vitalsd::redis
