#include "probes/redis/sentinel.hpp"

#include "probes/net/redis_connection.hpp"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace vitalsd::redis {
namespace {

using net::RedisReply;

// The value of a field in a list of names and values in turn; empty if it is missing.
std::string_view field_of(const RedisReply& fields, std::string_view name) {
  for (std::size_t i = 0; i + 1 < fields.items.size(); i += 2) {
    if (fields.items[i].text == name) return fields.items[i + 1].text;
  }
  return {};
}

bool has_flag(const RedisReply& entry, std::string_view flag) {
  const std::string flags = ',' + std::string(field_of(entry, "flags")) + ',';
  return flags.contains(',' + std::string(flag) + ',');
}

template <class Condition>
std::optional<double> count_entries(const RedisReply& reply, const Condition& condition) {
  if (reply.kind != RedisReply::Kind::list) return std::nullopt;
  return static_cast<double>(std::ranges::count_if(reply.items, condition));
}

}  // namespace

MasterDetails read_details(const RedisReply& reply) {
  const auto number = [&](std::string_view name) { return to_number(field_of(reply, name)); };
  return {.quorum = number("quorum"),
          .config_epoch = number("config-epoch"),
          .ok_replicas = {},
          .ok_sentinels = {},
          .down_opinions = {}};
}

std::optional<double> count_flag(const RedisReply& reply, std::string_view flag) {
  return count_entries(reply, [&](const RedisReply& entry) { return has_flag(entry, flag); });
}

std::optional<double> count_reached(const RedisReply& reply) {
  return count_entries(reply, [](const RedisReply& entry) {
    return !field_of(entry, "flags").empty() && !has_flag(entry, "s_down") &&
           !has_flag(entry, "o_down") && !has_flag(entry, "disconnected");
  });
}

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
  remove_repeated(masters, &MonitoredMaster::name);
  return masters;
}

asio::awaitable<void> Sentinel::add_details(net::RedisConnection& connection,
                                            const MonitoredMaster& master, SampleSet& out) {
  const std::string name(master.name);
  MasterDetails details;
  if (const auto reply = co_await permitted_.ask(connection, {"SENTINEL", "MASTER", name}, out)) {
    details = read_details(*reply);
  }
  if (const auto reply = co_await permitted_.ask(connection, {"SENTINEL", "REPLICAS", name}, out)) {
    details.ok_replicas = count_reached(*reply);
  }
  if (const auto reply =
          co_await permitted_.ask(connection, {"SENTINEL", "SENTINELS", name}, out)) {
    details.down_opinions = count_flag(*reply, "master_down");
    details.ok_sentinels = count_reached(*reply);
    if (details.ok_sentinels) ++*details.ok_sentinels;  // this one
  }
  kMasterDetailsTable.add(out, details, master.name, master.address);
  if (!expected_) co_return;
  const auto wanted = static_cast<double>(*expected_);
  if (details.ok_sentinels) {
    out.check(kSentinelsCheck, *details.ok_sentinels, name, {.warn = wanted, .critical = {}});
  }
  if (master.sentinels) {
    out.check(kSurplusCheck, std::max(*master.sentinels - wanted, 0.0), name);
  }
}

asio::awaitable<void> Sentinel::add(net::RedisConnection& connection, const RedisInfo& info,
                                    SampleSet& out) {
  kSentinelTable.add(out, info);
  if (const auto tilt = info.number("sentinel_tilt")) out.check(kTiltCheck, *tilt);
  const std::vector<MonitoredMaster> masters = read_monitored(info);
  if (masters.empty())
    throw ProbeError(Reason::mismatch, "the sentinel monitors no master: run SENTINEL MONITOR");
  for (const MonitoredMaster& master : masters) {
    kMonitoredTable.add(out, master, master.name, master.address);
    out.check(kMasterCheck, master.status == "ok" ? 0 : 1, master.name);
    co_await add_details(connection, master, out);
    const std::string name(master.name);
    out.doing("waiting for SENTINEL CKQUORUM " + name);
    std::vector<std::string> words = {"SENTINEL", "CKQUORUM", name};
    const RedisReply reply = co_await connection.ask(std::move(words));
    const bool reached = reply.kind == RedisReply::Kind::text;
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
  permitted_.publish(out);
}

}  // namespace vitalsd::redis
