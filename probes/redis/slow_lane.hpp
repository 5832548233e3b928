// Data that changes slowly or is large: statistics and latencies of commands, the slow log and
// latency events. It is read once a minute, and the last lines stay published in between. Names are
// those of redis_exporter.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/probe.hpp"
#include "probes/redis/info.hpp"
#include "probes/redis/permitted.hpp"

#include <chrono>
#include <cstddef>
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

/// Reads a number of "calls=21,usec=175,...", divided by `divisor`.
struct Count {
  std::string_view name;
  double divisor = 1;
  std::optional<double> operator()(std::string_view compound) const {
    const std::optional<double> value = to_number(sub_field(compound, name));
    return value ? std::optional(*value / divisor) : std::nullopt;
  }
};

/// Label: cmd.
inline constexpr MetricTable kCommandTable(
    MetricRow{Metric({.name = "redis_commands_total",
                      .type = Type::counter,
                      .help = "Calls of a command."},
                     "cmd"),
              Count("calls")},
    MetricRow{Metric({.name = "redis_commands_duration_seconds_total",
                      .type = Type::counter,
                      .unit = Unit::seconds,
                      .help = "Time that the server spent in a command."},
                     "cmd"),
              Count("usec", 1e6)},
    MetricRow{Metric({.name = "redis_commands_failed_calls_total",
                      .type = Type::counter,
                      .help = "Calls of a command that failed (from Redis 6.2)."},
                     "cmd"),
              Count("failed_calls")},
    MetricRow{Metric({.name = "redis_commands_rejected_calls_total",
                      .type = Type::counter,
                      .help = "Calls of a command that the server rejected (from Redis 6.2)."},
                     "cmd"),
              Count("rejected_calls")});

inline constexpr Metric kOtherCommands({.name = "redis_other_commands_total",
                                        .type = Type::counter,
                                        .help = "Calls of the commands that have no series of "
                                                "their own because there are too many."});
inline constexpr Metric kSlowLogLength({.name = "redis_slowlog_length",
                                        .help = "Entries of the slow log."});
inline constexpr Metric kSlowLogLastId({.name = "redis_slowlog_last_id",
                                        .help = "Number of the latest entry of the slow log; grows "
                                                "with each slow command."});
inline constexpr Metric kLastSlow({.name = "redis_last_slow_execution_duration_seconds",
                                   .unit = Unit::seconds,
                                   .help = "Duration of the latest slow command."});
/// Valkey from 8.1 logs commands by their size too. Label: type, large-request or large-reply.
inline constexpr Metric kCommandLogLength({.name = "redis_commandlog_length",
                                           .help = "Entries of the log of commands with large "
                                                   "requests or replies (from Valkey 8.1)."},
                                          "type");
inline constexpr Metric kCommandLogLastId({.name = "redis_commandlog_last_id",
                                           .help = "Number of the latest entry of the log of "
                                                   "commands with large requests or replies; grows "
                                                   "with each of them."},
                                          "type");
inline constexpr Metric kCommandLogSize({.name = "redis_commandlog_last_size_bytes",
                                         .unit = Unit::bytes,
                                         .help = "Size of the latest large request or reply."},
                                        "type");
inline constexpr Check kSlowCommandsCheck{
    .name = "slow_commands",
    .worse = Worse::above,
    .warn = 60,
    .critical = {},
    .help = "commands that the slow log has recorded in a minute (slowlog-log-slower-than)"};
inline constexpr Metric kLatencySpike(
    {.name = "redis_latency_spike_last",
     .help = "When the latest latency event occurred, in Unix time (latency-monitor-threshold)."},
    "event_name");
inline constexpr Metric kLatencyDuration({.name = "redis_latency_spike_duration_seconds",
                                          .unit = Unit::seconds,
                                          .help = "Duration of the latest latency event."},
                                         "event_name");
/// redis_exporter has a summary of this name, with the percentile in the label quantile too.
inline constexpr Metric kLatencyPercentile(
    {.name = "redis_latency_percentiles_usec",
     .help = "Latency of a command in microseconds, by percentile, since the server started (from "
             "Redis 7.0)."},
    "cmd", "quantile");
inline constexpr Metric kOtherLatencies({.name = "redis_other_latency_percentiles",
                                         .help = "Commands without latency series, because only "
                                                 "the slowest are published."});

/// Counts the entries of the slow log by their numbers, which the server assigns in turn. Pure.
class SlowCommands {
 public:
  /// Adds the number of the latest entry, -1 if the log is empty. The numbers start again with
  /// another `run_id`.
  void add(std::string_view run_id, std::int64_t last_id);
  /// Entries between the last two add(). Nothing after the first one.
  [[nodiscard]] std::optional<double> count() const { return count_; }

 private:
  std::string run_id_;
  std::optional<std::int64_t> last_id_;
  std::optional<double> count_;
};

/// Each probe has one.
class SlowLane {
 public:
  static constexpr std::size_t kMaxCommands = 300;
  static constexpr std::size_t kMaxLatencies = 100;   ///< commands
  static constexpr std::size_t kMaxPercentiles = 10;  ///< of a command; Redis has 3 by default

  /// Publishes the last readings, and reads again if they are a minute old. `info` and `commands`
  /// are the replies to INFO and INFO commandstats. Throws ProbeError for errors of the connection.
  asio::awaitable<void> add(net::RedisConnection& connection, const RedisInfo& info,
                            const RedisInfo& commands, SampleSet& out);
  /// Makes the next run read the data again, because the server or the user may be another one.
  void reset() {
    read_at_.reset();
    permitted_.reset();
  }

 private:
  static constexpr std::chrono::seconds kInterval{60};

  asio::awaitable<void> read(net::RedisConnection& connection, const RedisInfo& info,
                             const RedisInfo& commands, SampleSet& out);
  asio::awaitable<void> read_command_log(net::RedisConnection& connection, Part& part,
                                         SampleSet& out);

  Fragment lines_;
  PermittedCommands permitted_;
  SlowCommands slow_commands_;
  std::optional<std::chrono::steady_clock::time_point> read_at_;
};

/// Adds the calls of the commands with the most calls, and the sum of all others. Pure.
void add_commands(const RedisInfo& info, Part& out);
/// Adds the percentiles of the slowest commands, and the number of the others. Pure.
void add_latency_percentiles(const RedisInfo& info, Part& out);
/// The latest entry of the slow log, or of a log of Valkey's COMMANDLOG.
struct LogEntry {
  std::int64_t id;
  double value;  ///< microseconds or bytes
};
/// Reads the reply to SLOWLOG GET 1 or COMMANDLOG GET 1. Nothing if it has no entry or another
/// form. Pure.
std::optional<LogEntry> read_log_entry(const net::RedisReply& reply);
/// Whether the server is a Valkey with COMMANDLOG. Pure.
bool has_command_log(const RedisInfo& info);
/// Adds the reply to LATENCY LATEST. Ignores replies of another form. Pure.
void add_latency(const net::RedisReply& reply, Part& out);

}  // namespace vitalsd::redis
