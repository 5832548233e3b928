#include "probes/redis/sentinel.hpp"

#include "probes/net/redis_connection.hpp"

#include <cstddef>
#include <utility>

namespace vitalsd::redis {

std::vector<MonitoredMaster> read_monitored(const RedisInfo& info) {
  constexpr std::size_t kMaxMasters = 100;
  std::vector<MonitoredMaster> masters;
  for (const auto& [field, compound] : info.numbered("master")) {
    if (masters.size() == kMaxMasters) break;
    masters.push_back({.name = sub_field(compound, "name"),
                       .status = sub_field(compound, "status"),
                       .address = sub_field(compound, "address"),
                       .replicas = to_number(sub_field(compound, "slaves")),
                       .sentinels = to_number(sub_field(compound, "sentinels"))});
  }
  return masters;
}

asio::awaitable<void> add_sentinel(net::RedisConnection& connection, const RedisInfo& info,
                                   SampleSet& out) {
  kSentinelTable.add(out, info);
  if (const auto tilt = info.number("sentinel_tilt")) out.check(kTiltCheck, *tilt);
  const std::vector<MonitoredMaster> masters = read_monitored(info);
  if (masters.empty())
    throw ProbeError(Reason::mismatch, "the sentinel monitors no master: run SENTINEL MONITOR");
  for (const MonitoredMaster& master : masters) {
    kMonitoredTable.add(out, master, master.name, master.address);
    out.check(kMasterCheck, master.status == "ok" ? 0 : 1, master.name);
    const std::string name(master.name);
    out.doing("waiting for SENTINEL CKQUORUM " + name);
    std::vector<std::string> words = {"SENTINEL", "CKQUORUM", name};
    const net::RedisReply reply = co_await connection.ask(std::move(words));
    const bool reached = reply.kind == net::RedisReply::Kind::text;
    if (!reached && !reply.text.starts_with("NOQUORUM")) {
      const ProbeError error = net::redis_error(reply.text);
      std::string detail = "SENTINEL CKQUORUM " + name + ": " + error.what();
      if (error.reason() == Reason::permission) {
        detail += "; grant +sentinel|ckquorum with ACL SETUSER";
      }
      out.fail(error.reason(), std::move(detail));
      continue;
    }
    out.add(kQuorum, reached ? 1 : 0, master.name);
    out.check(kQuorumCheck, reached ? 0 : 1, master.name);
  }
}

}  // namespace vitalsd::redis
