// Commands that some readings need and that the user may lack: each refusal fills the server's ACL
// LOG, so a refused command is sent once an hour.
#pragma once

#include "exporter/model/metric.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/redis_connection.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::redis {

inline constexpr Metric kPermitted(
    {.name = "vitalsd_redis_command_permitted",
     .help =
         "Whether the user may run a command that some readings need; grant it by ACL SETUSER."},
    "command");

/// RedisProbe, Sentinel and SlowLane each own one.
class PermittedCommands {
 public:
  /// Sends a command of at least two words. Returns nothing if the server refuses it, has refused
  /// it in the last hour, or does not know it. Throws ProbeError for errors of the connection.
  asio::awaitable<std::optional<net::RedisReply>> ask(net::RedisConnection& connection,
                                                      std::vector<std::string> words,
                                                      SampleSet& out);
  /// Publishes which of the commands are permitted.
  void publish(Part& out) const;
  /// Forgets the refusals, because the server or the user may be another one.
  void reset() { refused_.clear(); }

 private:
  // When a command was refused, by its name, such as "slowlog|get"; nothing if it is permitted.
  std::map<std::string, std::optional<std::chrono::steady_clock::time_point>> refused_;
};

}  // namespace vitalsd::redis
