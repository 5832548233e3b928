#include "probes/redis/replication.hpp"

#include <optional>
#include <string>

#include <gtest/gtest.h>

namespace vitalsd::redis {
namespace {

std::optional<double> reading(const SampleSet& set, std::string_view check) {
  for (const CheckResult& result : set.checks()) {
    if (result.check->name == check) return result.reading;
  }
  return std::nullopt;
}

std::size_t count(const SampleSet& set, std::string_view metric) {
  std::size_t found = 0;
  for (std::size_t i = 0; i < set.size(); ++i) found += set.sample(i).metric->name == metric;
  return found;
}

SampleSet added(Replication& replication, const std::string& info,
                std::optional<std::int64_t> expected = {}) {
  SampleSet set;
  replication.add(RedisInfo(info), expected, set);
  return set;
}

TEST(Replication, ReadsTheReplicasOfAMaster) {
  const RedisInfo info(
      "role:master\r\nconnected_slaves:2\r\n"
      "slave0:ip=10.0.0.2,port=6379,state=online,offset=1000,lag=1\r\n"
      "slave1:ip=fd00::3,port=6380,state=wait_bgsave,offset=0,lag=-1\r\n");
  const std::vector<Replica> replicas = read_replicas(info);
  ASSERT_EQ(replicas.size(), 2U);
  EXPECT_EQ(replicas[0].ip, "10.0.0.2");
  EXPECT_EQ(replicas[0].offset, 1000);
  EXPECT_EQ(replicas[0].lag_seconds, 1);
  EXPECT_EQ(replicas[1].ip, "fd00::3");
  EXPECT_EQ(replicas[1].state, "wait_bgsave");
  EXPECT_EQ(replicas[1].lag_seconds, std::nullopt);
  EXPECT_TRUE(read_masters(info).empty());
}

TEST(Replication, ReadsTheLastConnectionOfAReplica) {
  const RedisInfo info(
      "slave0:ip=a,port=1,state=online,offset=1,lag=50\r\n"
      "slave1:ip=a,port=2,state=online,offset=2,lag=0\r\n"
      "slave2:ip=a,port=1,state=online,offset=3,lag=1\r\n");
  const std::vector<Replica> replicas = read_replicas(info);
  ASSERT_EQ(replicas.size(), 2U);
  EXPECT_EQ(replicas[0].port, "2");
  EXPECT_EQ(replicas[1].offset, 3);
}

TEST(Replication, ReadsAMasterOnce) {
  const RedisInfo info(
      "master_host:a\r\nmaster_port:1\r\nmaster_1_host:a\r\nmaster_1_port:1\r\n"
      "master_2_host:a\r\nmaster_2_port:2\r\n");
  EXPECT_EQ(read_masters(info).size(), 2U);
}

TEST(Replication, ReadsSeveralMastersOfKeyDb) {
  const RedisInfo info(
      "role:active-replica\r\n"
      "master_host:a\r\nmaster_port:1\r\nmaster_link_status:up\r\nmaster_last_io_seconds_ago:3\r\n"
      "master_1_host:b\r\nmaster_1_port:2\r\nmaster_1_link_status:down\r\n"
      "master_1_last_io_seconds_ago:-1\r\nmaster_1_link_down_since_seconds:7\r\n");
  const std::vector<MasterLink> masters = read_masters(info);
  ASSERT_EQ(masters.size(), 2U);
  EXPECT_EQ(masters[0].host, "a");
  EXPECT_EQ(masters[0].up, 1);
  EXPECT_EQ(masters[0].last_io_seconds, 3);
  EXPECT_EQ(masters[1].port, "2");
  EXPECT_EQ(masters[1].up, 0);
  EXPECT_EQ(masters[1].last_io_seconds, std::nullopt);
  EXPECT_EQ(masters[1].down_since_seconds, 7);
}

TEST(Replication, JudgesTheTimeSinceTheLinkIsDown) {
  Replication replication;
  const std::string down =
      "uptime_in_seconds:5000\r\nrole:slave\r\nmaster_host:m\r\nmaster_port:1\r\n"
      "master_link_status:down\r\n";
  EXPECT_EQ(
      reading(added(replication, down + "master_link_down_since_seconds:400\r\n"), "master_link"),
      400);
  // A replica that was never connected reports -1.
  EXPECT_EQ(
      reading(added(replication, down + "master_link_down_since_seconds:-1\r\n"), "master_link"),
      5000);
}

// The uptime of a master that has become a replica is not the time without a link.
TEST(Replication, MeasuresTheTimeOfALinkItself) {
  Replication replication;
  EXPECT_EQ(reading(added(replication, "role:master\r\nuptime_in_seconds:5000\r\n"), "master_link"),
            std::nullopt);
  const SampleSet set =
      added(replication,
            "uptime_in_seconds:5000\r\nrole:slave\r\nmaster_host:m\r\nmaster_port:1\r\n"
            "master_link_status:down\r\nmaster_link_down_since_seconds:-1\r\n");
  EXPECT_LT(reading(set, "master_link").value_or(5000), 60);
}

TEST(Replication, CountsReplicasThatReceiveChanges) {
  Replication replication;
  const std::string info =
      "role:master\r\nconnected_slaves:2\r\n"
      "slave0:ip=a,port=1,state=online,offset=1,lag=0\r\n"
      "slave1:ip=b,port=1,state=send_bulk,offset=0,lag=0\r\n";
  EXPECT_EQ(reading(added(replication, info, 2), "replicas"), 1);
  EXPECT_EQ(reading(added(replication, info), "replicas"), std::nullopt);
  // A replica has no replicas of its own.
  EXPECT_EQ(reading(added(replication, "role:slave\r\nmaster_host:m\r\n", 2), "replicas"),
            std::nullopt);
}

TEST(Replication, PublishesALimitedNumberOfReplicas) {
  std::string info = "role:master\r\n";
  for (int i = 0; i < 300; ++i) {
    info += "slave" + std::to_string(i) + ":ip=a,port=" + std::to_string(i) +
            ",state=online,offset=1,lag=0\r\n";
  }
  Replication replication;
  EXPECT_EQ(count(added(replication, info, 300), "redis_connected_slave_lag_seconds"),
            Replication::kMaxReplicas);
  EXPECT_EQ(reading(added(replication, info, 300), "replicas"), 300);
}

}  // namespace
}  // namespace vitalsd::redis
