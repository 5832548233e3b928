// The masters that a sentinel monitors: INFO and, for each master, SENTINEL CKQUORUM, MASTER,
// REPLICAS and SENTINELS. Names are those of redis_exporter if it has the metric.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/probe.hpp"
#include "probes/redis/info.hpp"
#include "probes/redis/permitted.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {
class RedisConnection;
struct RedisReply;
}  // namespace vitalsd::net

namespace vitalsd::redis {

/// A master as a sentinel describes it in INFO:
/// "name=main,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3".
struct MonitoredMaster {
  std::string_view name;
  std::string_view status;  ///< ok, sdown or odown
  std::string_view address;
  std::optional<double> replicas;
  std::optional<double> sentinels;
};

/// Views of `info`, at most 100.
std::vector<MonitoredMaster> read_monitored(const RedisInfo& info);

/// What SENTINEL MASTER says of a master, and how many of its replicas and of the other sentinels
/// work, by SENTINEL REPLICAS and SENTINEL SENTINELS.
struct MasterDetails {
  std::optional<double> quorum;
  std::optional<double> config_epoch;
  std::optional<double> ok_replicas;
  std::optional<double> ok_sentinels;   ///< including this one
  std::optional<double> down_opinions;  ///< other sentinels that consider the master down
};

/// Reads the reply to SENTINEL MASTER: names and values in turn. Ignores values that are not
/// numbers. Pure.
MasterDetails read_details(const net::RedisReply& reply);
/// The number of entries with a flag in the reply to SENTINEL REPLICAS or SENTINEL SENTINELS.
/// Nothing if the reply is not a list. Pure.
std::optional<double> count_flag(const net::RedisReply& reply, std::string_view flag);
/// Like count_flag(), of entries that this sentinel can reach: neither s_down nor o_down nor
/// disconnected.
std::optional<double> count_reached(const net::RedisReply& reply);

/// No labels.
inline constexpr MetricTable kSentinelTable(
    MetricRow{
        Metric({.name = "redis_sentinel_masters", .help = "Masters that the sentinel monitors."}),
        [](const RedisInfo& info) { return info.number("sentinel_masters"); }},
    MetricRow{Metric({.name = "redis_sentinel_tilt",
                      .help = "Whether the sentinel does not act because its clock jumped or it "
                              "was suspended (TILT mode)."}),
              [](const RedisInfo& info) { return info.number("sentinel_tilt"); }});

/// Labels: master_name, master_address.
inline constexpr MetricTable kMonitoredTable(
    MetricRow{Metric({.name = "redis_sentinel_master_status",
                      .help = "Whether the sentinel considers the master reachable."},
                     "master_name", "master_address", "master_status"),
              [](const MonitoredMaster& master, const auto& put) {
                put(master.status == "ok", master.status);
              }},
    MetricRow{Metric({.name = "redis_sentinel_master_slaves",
                      .help = "Replicas of the master that the sentinel knows."},
                     "master_name", "master_address"),
              [](const MonitoredMaster& master) { return master.replicas; }},
    MetricRow{Metric({.name = "redis_sentinel_master_sentinels",
                      .help = "Sentinels that monitor the master, including this one."},
                     "master_name", "master_address"),
              [](const MonitoredMaster& master) { return master.sentinels; }});

/// Labels: master_name, master_address.
inline constexpr MetricTable kMasterDetailsTable(
    MetricRow{Metric({.name = "redis_sentinel_master_ok_slaves",
                      .help = "Replicas of the master that the sentinel can reach."},
                     "master_name", "master_address"),
              [](const MasterDetails& details) { return details.ok_replicas; }},
    MetricRow{Metric({.name = "redis_sentinel_master_ok_sentinels",
                      .help = "Sentinels of the master that the sentinel can reach, including "
                              "itself."},
                     "master_name", "master_address"),
              [](const MasterDetails& details) { return details.ok_sentinels; }},
    MetricRow{Metric({.name = "redis_sentinel_master_setting_ckquorum",
                      .help = "Sentinels that must consider the master down for a failover "
                              "(quorum)."},
                     "master_name", "master_address"),
              [](const MasterDetails& details) { return details.quorum; }},
    MetricRow{Metric({.name = "redis_sentinel_master_config_epoch",
                      .help = "Version of the master's configuration; grows with each failover."},
                     "master_name", "master_address"),
              [](const MasterDetails& details) { return details.config_epoch; }},
    MetricRow{Metric({.name = "redis_sentinel_master_down_opinions",
                      .help = "Other sentinels that have told this one that they consider the "
                              "master down; it asks them only while it cannot reach the master."},
                     "master_name", "master_address"),
              [](const MasterDetails& details) { return details.down_opinions; }});

/// redis_exporter adds a label with the text of the reply. It is left out, because it differs in
/// each reply.
inline constexpr Metric kQuorum({.name = "redis_sentinel_master_ckquorum_status",
                                 .help = "Whether enough sentinels are reachable to fail over the "
                                         "master."},
                                "master_name");

inline constexpr Check kMasterCheck{
    .name = "monitored_master",
    .worse = Worse::above,
    .warn = {},
    .critical = 0,
    .help = "whether the sentinel cannot reach a master (1) or can (0)"};
inline constexpr Check kQuorumCheck{
    .name = "quorum",
    .worse = Worse::above,
    .warn = {},
    .critical = 0,
    .help = "whether too few sentinels are reachable to fail over a master (1) or enough (0)"};
inline constexpr Check kTiltCheck{.name = "tilt",
                                  .worse = Worse::above,
                                  .warn = 0,
                                  .critical = {},
                                  .help = "whether the sentinel does not act (1) or does (0)"};

inline constexpr Check kSentinelsCheck{
    .name = "sentinels",
    .worse = Worse::below,
    .warn = {},
    .critical = {},
    .help =
        "sentinels of a master that this one can reach, including itself; a warning below the "
        "option sentinels"};
inline constexpr Check kSurplusCheck{
    .name = "surplus_sentinels",
    .worse = Worse::above,
    .warn = 0,
    .critical = {},
    .help =
        "sentinels of a master that are known in addition to the option sentinels; those that "
        "no longer exist count for the majority that a failover needs"};

/// Each probe of a sentinel has one.
class Sentinel {
 public:
  /// `expected`: sentinels that must monitor each master.
  explicit Sentinel(std::optional<std::int64_t> expected) : expected_(expected) {}

  /// Publishes what the sentinel says of its masters. A missing permission for details omits them.
  /// Throws ProbeError for errors of the connection and if the sentinel monitors no master.
  asio::awaitable<void> add(net::RedisConnection& connection, const RedisInfo& info,
                            SampleSet& out);
  /// Forgets refusals, because the server or the user may be another one.
  void reset() { permitted_.reset(); }

 private:
  asio::awaitable<void> add_details(net::RedisConnection& connection, const MonitoredMaster& master,
                                    SampleSet& out);

  std::optional<std::int64_t> expected_;
  PermittedCommands permitted_;
};

}  // namespace vitalsd::redis
