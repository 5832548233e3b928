#include "probes/redis/cluster_nodes.hpp"

#include <cstddef>
#include <string>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd::redis {
namespace {

std::string node(const std::string& id, const std::string& address, const std::string& flags,
                 const std::string& master, const std::string& slots = "") {
  const bool linked = !flags.contains("fail");
  return id + ' ' + address + ' ' + flags + ' ' + master + " 0 1700000000000 1 " +
         (linked ? "connected" : "disconnected") + (slots.empty() ? "" : ' ' + slots) + '\n';
}

TEST(ClusterNodes, AreHealthyIfEachShardHasAReplica) {
  const ClusterNodes nodes =
      read_cluster_nodes(node("a1", "10.0.0.1:6379@16379", "myself,master", "-", "0-8191") +
                         node("b1", "10.0.0.2:6379@16379,redis-1", "master", "-", "8192-16383") +
                         node("a2", "10.0.0.3:6379@16379", "slave", "a1") +
                         node("b2", "10.0.0.4:6379@16379", "slave", "b1"));
  EXPECT_TRUE(nodes.failed.empty());
  EXPECT_EQ(nodes.suspected, 0U);
  EXPECT_EQ(nodes.shards_without_replica, 0U);
}

TEST(ClusterNodes, NamesFailedNodes) {
  const ClusterNodes nodes =
      read_cluster_nodes(node("a1", "10.0.0.1:6379@16379", "myself,master", "-", "0-16383") +
                         node("a2", "10.0.0.9:6379@16379,redis-9", "slave,fail", "a1") +
                         node("a3", "10.0.0.5:6379@16379", "slave,fail?", "a1") +
                         node("b1", ":0@0", "master,noaddr,fail", "-"));
  EXPECT_EQ(nodes.failed, (std::vector<std::string>{"10.0.0.9:6379", ":0"}));
  EXPECT_EQ(nodes.suspected, 1U);
  EXPECT_EQ(nodes.shards_without_replica, 0U);  // the suspected replica may work
}

TEST(ClusterNodes, CountsShardsWithoutAWorkingReplica) {
  EXPECT_EQ(read_cluster_nodes(node("a1", "h:1@2", "master", "-", "0-16383") +
                               node("a2", "h:2@3", "slave,fail", "a1"))
                .shards_without_replica,
            1U);
  // A master without slots needs no replica.
  EXPECT_EQ(read_cluster_nodes(node("a1", "h:1@2", "master", "-")).shards_without_replica, 0U);
}

TEST(ClusterNodes, NamesShardsOnOneHost) {
  const std::string master = node("a1", "10.0.0.1:6379@16379", "master", "-", "0-16383");
  const std::string local = node("a2", "10.0.0.1:6380@16380", "slave", "a1");
  const std::string remote = "10.0.0.2:6379@16379";
  const auto found = [](const std::string& text) { return read_cluster_nodes(text).on_one_host; };
  const std::vector<std::string> first = {"10.0.0.1:6379"};
  EXPECT_EQ(found(master + local), first);
  EXPECT_EQ(found(local + master), first);
  EXPECT_TRUE(found(master + local + node("a3", remote, "slave", "a1")).empty());
  EXPECT_EQ(found(master + local + node("a3", remote, "slave,fail", "a1")), first);
  EXPECT_TRUE(found(master).empty());  // shards_without_replica
  const std::string ipv6 = node("b1", "fd00::1:6379@16379", "master", "-", "0-1");
  EXPECT_EQ(found(ipv6 + node("b2", "fd00::1:6380@16380", "slave", "b1")),
            (std::vector<std::string>{"fd00::1:6379"}));
  EXPECT_TRUE(found(ipv6 + node("b2", "fd00::2:6380@16380", "slave", "b1")).empty());
}

TEST(ClusterNodes, IgnoresOtherLines) {
  const ClusterNodes nodes = read_cluster_nodes("\n\r\n  \nfail fail fail\nx\n");
  EXPECT_TRUE(nodes.nodes.empty());
  EXPECT_TRUE(nodes.failed.empty());
  EXPECT_EQ(nodes.shards_without_replica, 0U);
}

// Until the handshake with a node ends, its ID is a random one.
TEST(ClusterNodes, ReadsANodeOnce) {
  const std::string master = node("a1", "10.0.0.1:6379@16379", "master", "-", "0-16383");
  const std::string replica = node("a2", "10.0.0.2:6379@16379", "slave", "a1");
  const ClusterNodes nodes = read_cluster_nodes(master + replica + replica + master);
  ASSERT_EQ(nodes.nodes.size(), 2U);
  EXPECT_EQ(nodes.nodes[0].replicas, 1U);
}

TEST(ClusterNodes, IgnoresNodesThatAreNotMembersYet) {
  EXPECT_TRUE(read_cluster_nodes(node("x", "10.0.0.1:1@2", "handshake", "-")).nodes.empty());
}

TEST(ClusterNodes, DescribesEachNode) {
  const ClusterNodes read =
      read_cluster_nodes(node("a", ":6379@16379", "myself,master", "-", "0-99 200 [93-<-b]\r") +
                         node("b", "fd00::1:6379@16379,redis-1", "slave", "a"));
  ASSERT_EQ(read.nodes.size(), 2U);
  const ClusterNode& master = read.nodes[0];
  EXPECT_EQ(master.address, ":6379");  // a node that has not met another one
  EXPECT_TRUE(master.master);
  EXPECT_TRUE(master.myself);
  EXPECT_EQ(master.slots, 101U);
  EXPECT_EQ(master.replicas, 1U);
  EXPECT_EQ(master.shard, "a");
  const ClusterNode& replica = read.nodes[1];
  EXPECT_EQ(replica.address, "fd00::1:6379");
  EXPECT_EQ(replica.hostname, "redis-1");
  EXPECT_FALSE(replica.master);
  EXPECT_EQ(replica.slots, 0U);
  EXPECT_EQ(replica.shard, "a");
}

TEST(ClusterNodes, UseTheIdOfTheShardIfThereIsOne) {
  const ClusterNodes read =
      read_cluster_nodes(node("a", "h:1@2,?,shard-id=s1", "master", "-", "5") +
                         node("b", "h:2@3,,tls-port=0,shard-id=s1", "slave", "a"));
  ASSERT_EQ(read.nodes.size(), 2U);
  for (const ClusterNode& each : read.nodes) {
    EXPECT_EQ(each.shard, "s1");
    EXPECT_EQ(each.hostname, "");
  }
}

TEST(ClusterNodes, CountNoInvalidSlots) {
  const auto slots = [](const std::string& text) {
    return read_cluster_nodes(node("a", "h:1@2", "master", "-", text)).nodes.at(0).slots;
  };
  EXPECT_EQ(slots("0-16383"), 16384U);
  EXPECT_EQ(slots("7"), 1U);
  for (const char* text :
       {"0-16384", "16384", "9-1", "-", "-1", "x-3", "1-2-3", "99999999999999999999", "[1->-b]"}) {
    EXPECT_EQ(slots(text), 0U) << text;
  }
}

std::string id_of(std::size_t number) { return "n" + std::to_string(1000 + number); }

std::string many_nodes(std::size_t count, std::size_t failed) {
  std::string text;
  for (std::size_t i = 0; i < count; ++i) {
    text += node(id_of(i), "h:1@2", i == failed ? "master,fail" : "master", "-", std::to_string(i));
  }
  return text;
}

std::string lines(const ClusterNodes& nodes) {
  Part part;
  add_cluster_nodes(nodes, part);
  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, R"(probe="p",instance="p")", duplicates);
  EXPECT_EQ(duplicates, 0U);
  return rendering.text;
}

TEST(ClusterNodes, PublishesEachNode) {
  const std::string page = lines(read_cluster_nodes(
      node("a", "h:1@2", "master", "-", "0-9") + node("b", "h:2@3", "slave,fail", "a") +
      node("c", "h:3@4", "slave,fail?", "a") + node("d", "h:4@5", "master", "-")));
  const auto has = [&](const std::string& name, const std::string& labels, const char* value) {
    const std::string line = name + R"({probe="p",instance="p",)" + labels + "} " + value + '\n';
    EXPECT_TRUE(page.contains(line)) << line << page;
  };
  has("redis_cluster_node_info", R"(node_id="a",address="h:1",role="master",shard="a")", "1");
  has("redis_cluster_node_info", R"(node_id="b",address="h:2",role="slave",shard="a")", "1");
  has("redis_cluster_node_up", R"(node_id="a",address="h:1")", "1");
  has("redis_cluster_node_up", R"(node_id="b",address="h:2")", "0");
  has("redis_cluster_node_up", R"(node_id="c",address="h:3")", "0");
  has("redis_cluster_node_failed", R"(node_id="b",address="h:2")", "1");
  has("redis_cluster_node_failed", R"(node_id="c",address="h:3")", "0");
  has("redis_cluster_node_slots", R"(node_id="a",address="h:1")", "10");
  has("redis_cluster_shard_replicas", R"(shard="a")", "1");
  EXPECT_FALSE(page.contains(R"(redis_cluster_shard_replicas{probe="p",instance="p",shard="d"})"));
  EXPECT_FALSE(page.contains("redis_cluster_nodes_unlisted"));
}

// The old master of a shard may have slots until it learns of the failover.
TEST(ClusterNodes, PublishesAShardOnce) {
  const std::string page = lines(
      read_cluster_nodes(node("a", "h:1@2,,shard-id=s", "master", "-", "0-9") +
                         node("b", "h:2@3,,shard-id=s", "master", "-", "0-8") +
                         node("c", "h:3@4", "slave", "a") + node("d", "h:4@5", "slave", "b")));
  EXPECT_TRUE(
      page.contains("redis_cluster_shard_replicas{probe=\"p\",instance=\"p\",shard=\"s\"} 2\n"))
      << page;
}

TEST(ClusterNodes, ListsTheNodesThatAreDownAndTheFirstOthers) {
  const std::string page = lines(read_cluster_nodes(many_nodes(kMaxListedNodes + 5, 103)));
  EXPECT_TRUE(page.contains("node_id=\"" + id_of(103) + '"'));
  EXPECT_TRUE(page.contains("node_id=\"" + id_of(kMaxListedNodes - 2) + '"'));
  EXPECT_FALSE(page.contains("node_id=\"" + id_of(kMaxListedNodes - 1) + '"'));
  EXPECT_TRUE(page.contains("redis_cluster_nodes_unlisted{probe=\"p\",instance=\"p\"} 5\n"));
}

TEST(ClusterNodes, ReadsNoMoreThanTheLimit) {
  const std::size_t count = ClusterNodes::kMaxRead + 1;
  EXPECT_EQ(read_cluster_nodes(many_nodes(count, count)).nodes.size(), ClusterNodes::kMaxRead);
}

}  // namespace
}  // namespace vitalsd::redis
