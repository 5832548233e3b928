// The masters that a sentinel monitors: INFO, SENTINEL MASTERS and SENTINEL CKQUORUM. Names are
// those of redis_exporter.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/probe.hpp"
#include "probes/redis/info.hpp"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::net {
class RedisConnection;
}

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

/// Publishes what a sentinel says of its masters. Throws ProbeError for errors of the connection
/// and if the sentinel monitors no master.
asio::awaitable<void> add_sentinel(net::RedisConnection& connection, const RedisInfo& info,
                                   SampleSet& out);

}  // namespace vitalsd::redis
