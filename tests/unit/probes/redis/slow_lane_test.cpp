#include "probes/redis/slow_lane.hpp"

#include "probes/net/redis_connection.hpp"
#include "probes/redis/sentinel.hpp"

#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::redis {
namespace {

std::string lines(const Part& part) {
  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, R"(probe="p",instance="p")", duplicates);
  EXPECT_EQ(duplicates, 0U);
  return rendering.text;
}

net::RedisReply integer(std::int64_t value) {
  return {.kind = net::RedisReply::Kind::integer, .integer = value, .text = {}, .items = {}};
}
net::RedisReply text(std::string value) {
  return {.kind = net::RedisReply::Kind::text, .integer = 0, .text = std::move(value), .items = {}};
}
net::RedisReply list(std::vector<net::RedisReply> items) {
  return {.kind = net::RedisReply::Kind::list, .integer = 0, .text = {}, .items = std::move(items)};
}

TEST(SlowLane, ReadsTheStatisticsOfCommands) {
  Part part;
  // The first as from Redis 6.2, the second as from older ones.
  add_commands(RedisInfo("cmdstat_config|get:calls=2,usec=500000,usec_per_call=2.5,"
                         "rejected_calls=3,failed_calls=4\r\n"
                         "cmdstat_get:calls=7,usec=1,usec_per_call=0.1\r\n"),
               part);
  const std::string page = lines(part);
  const auto line = [](const std::string& name, const std::string& command, const char* value) {
    return name + R"({probe="p",instance="p",cmd=")" + command + "\"} " + value + '\n';
  };
  EXPECT_TRUE(page.contains(line("redis_commands_total", "config|get", "2"))) << page;
  EXPECT_TRUE(page.contains(line("redis_commands_duration_seconds_total", "config|get", "0.5")));
  EXPECT_TRUE(page.contains(line("redis_commands_rejected_calls_total", "config|get", "3")));
  EXPECT_TRUE(page.contains(line("redis_commands_failed_calls_total", "config|get", "4")));
  EXPECT_TRUE(page.contains(line("redis_commands_total", "get", "7")));
  EXPECT_FALSE(
      page.contains(R"(redis_commands_failed_calls_total{probe="p",instance="p",cmd="get")"));
}

TEST(SlowLane, KeepsTheMostCalledCommandsAndSumsTheOthers) {
  std::string info = "cmdstat_rare:calls=1,usec=1\r\n";
  for (std::size_t i = 0; i < SlowLane::kMaxCommands + 5; ++i) {
    info += "cmdstat_c" + std::to_string(i) + ":calls=10,usec=1\r\n";
  }
  Part part;
  add_commands(RedisInfo(info), part);
  const std::string page = lines(part);
  EXPECT_FALSE(page.contains("rare"));
  EXPECT_TRUE(page.contains("redis_other_commands_total{probe=\"p\",instance=\"p\"} 51\n")) << page;
}

TEST(SlowLane, ReadsThePercentilesOfLatencies) {
  Part part;
  add_latency_percentiles(RedisInfo("latency_percentiles_usec_get:p50=1.003,p99.9=15.039\r\n"
                                    "latency_percentiles_usec_config|get:p50=2\r\n"
                                    "latency_percentiles_usec_bad:p50=,p=1,50=1,p99,=3,p1=x,,\r\n"
                                    "latency_percentiles_usec_:\r\n"),
                          part);
  const std::string page = lines(part);
  const auto line = [](const char* command, const char* quantile, const char* value) {
    return R"(redis_latency_percentiles_usec{probe="p",instance="p",cmd=")" + std::string(command) +
           "\",quantile=\"" + quantile + "\"} " + value + '\n';
  };
  EXPECT_TRUE(page.contains(line("get", "50", "1.003"))) << page;
  EXPECT_TRUE(page.contains(line("get", "99.9", "15.039"))) << page;
  EXPECT_TRUE(page.contains(line("config|get", "50", "2"))) << page;
  EXPECT_EQ(part.size(), 3U) << page;
}

// As a proxy may that merges the answers of several servers.
TEST(SlowLane, PublishesRepeatedNamesOnce) {
  Part part;
  add_commands(RedisInfo("cmdstat_get:calls=1,usec=1\r\ncmdstat_get:calls=2,usec=1\r\n"), part);
  add_latency_percentiles(RedisInfo("latency_percentiles_usec_get:p50=1,p50=2,p99=3\r\n"
                                    "latency_percentiles_usec_get:p50=4\r\n"),
                          part);
  const net::RedisReply event = list({text("fork"), integer(1), integer(2), integer(3)});
  add_latency(list({event, event}), part);
  const std::string page = lines(part);  // expects no duplicates
  EXPECT_TRUE(page.contains(R"(cmd="get",quantile="50"} 1)")) << page;
  EXPECT_TRUE(page.contains(R"(cmd="get",quantile="99"} 3)")) << page;
}

TEST(SlowLane, KeepsTheSlowestCommandsAndCountsTheOthers) {
  std::string info;
  for (std::size_t i = 0; i < SlowLane::kMaxLatencies + 5; ++i) {
    info += "latency_percentiles_usec_c" + std::to_string(i) + ":p50=1,p99=" + std::to_string(i) +
            "\r\n";
  }
  info += "latency_percentiles_usec_slow:p0=1000000";
  for (std::size_t i = 1; i < SlowLane::kMaxPercentiles + 5; ++i) {
    info += ",p" + std::to_string(i) + "=1";
  }
  Part part;
  add_latency_percentiles(RedisInfo(info), part);
  const std::string page = lines(part);
  EXPECT_TRUE(page.contains(R"(cmd="slow",quantile="0"} 1000000)")) << page;
  EXPECT_TRUE(page.contains(R"(cmd="c104")"));
  EXPECT_FALSE(page.contains(R"(cmd="c5")"));
  EXPECT_TRUE(page.contains("redis_other_latency_percentiles{probe=\"p\",instance=\"p\"} 6\n"));
  EXPECT_EQ(part.size(), SlowLane::kMaxPercentiles + 2 * (SlowLane::kMaxLatencies - 1) + 1);
}

TEST(SlowLane, ReadsTheLatestEntryOfALog) {
  const auto entry = read_log_entry(
      list({list({integer(14), integer(1700000000), integer(250000), list({text("GET")})})}));
  ASSERT_TRUE(entry);
  EXPECT_EQ(entry->id, 14);
  EXPECT_EQ(entry->value, 250000);
}

TEST(SlowLane, CountsSlowCommandsByTheirNumbers) {
  SlowCommands commands;
  commands.add("a", 7);
  EXPECT_EQ(commands.count(), std::nullopt);  // of an unknown time
  commands.add("a", 9);
  EXPECT_EQ(commands.count(), 2);
  commands.add("a", -1);  // SLOWLOG RESET
  EXPECT_EQ(commands.count(), 0);
  commands.add("a", 10);
  EXPECT_EQ(commands.count(), 1);
  commands.add("b", -1);  // a restart
  EXPECT_EQ(commands.count(), std::nullopt);
  commands.add("b", 0);
  EXPECT_EQ(commands.count(), 1);
}

TEST(SlowLane, KnowsWhichServersLogLargeCommands) {
  EXPECT_TRUE(has_command_log(RedisInfo("valkey_version:8.1.0\r\n")));
  EXPECT_TRUE(has_command_log(RedisInfo("valkey_version:10.0.1\r\n")));
  EXPECT_FALSE(has_command_log(RedisInfo("valkey_version:8.0.2\r\n")));
  EXPECT_FALSE(has_command_log(RedisInfo("redis_version:8.2.3\r\n")));
}

TEST(SlowLane, ReadsLatencyEvents) {
  Part part;
  add_latency(list({list({text("command"), integer(1700000000), integer(500), integer(900)})}),
              part);
  const std::string page = lines(part);
  EXPECT_TRUE(
      page.contains("redis_latency_spike_duration_seconds{probe=\"p\",instance=\"p\",event_name="
                    "\"command\"} 0.5\n"))
      << page;
}

TEST(SlowLane, IgnoresRepliesOfAnotherForm) {
  Part part;
  for (const net::RedisReply& reply :
       {text("x"), list({}), list({text("x")}), list({list({})}), list({list({text("a")})}),
        list({list({text("a"), text("b"), text("c")})})}) {
    EXPECT_FALSE(read_log_entry(reply));
  }
  for (const net::RedisReply& reply :
       {integer(1), list({integer(1)}), list({list({integer(1)})})}) {
    add_latency(reply, part);
  }
  EXPECT_EQ(part.size(), 0U);
}

TEST(Sentinel, ReadsTheMastersThatItMonitors) {
  const RedisInfo info(
      "sentinel_masters:2\r\n"
      "master0:name=main,status=ok,address=10.0.0.1:6379,slaves=2,sentinels=3\r\n"
      "master1:name=b,status=odown,address=[fd00::1]:6379,slaves=x,sentinels=1\r\n"
      "master2:name=main,status=ok,address=10.0.0.2:6379,slaves=2,sentinels=3\r\n");
  const std::vector<MonitoredMaster> masters = read_monitored(info);
  ASSERT_EQ(masters.size(), 2U);
  EXPECT_EQ(masters[0].name, "main");
  EXPECT_EQ(masters[0].replicas, 2);
  EXPECT_EQ(masters[1].status, "odown");
  EXPECT_EQ(masters[1].address, "[fd00::1]:6379");
  EXPECT_EQ(masters[1].replicas, std::nullopt);
}

}  // namespace
}  // namespace vitalsd::redis
