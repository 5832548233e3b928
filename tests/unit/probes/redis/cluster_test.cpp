#include "probes/redis/cluster.hpp"

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
  EXPECT_TRUE(nodes.failed.empty());
  EXPECT_EQ(nodes.shards_without_replica, 0U);
}

}  // namespace
}  // namespace vitalsd::redis
