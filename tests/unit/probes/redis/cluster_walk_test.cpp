#include "probes/redis/cluster_walk.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "unit/support/kinds.hpp"
#include "unit/support/redis_script.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::bulk;

constexpr std::size_t kSize = 3;

// A cluster of three masters, of which the probe is given the first.
class ClusterWalkTest : public testing::Test {
 protected:
  ClusterWalkTest() {
    for (std::size_t i = 0; i < kSize; ++i) {
      replies(i)["INFO"] = bulk("used_memory:7\r\ncluster_enabled:1\r\n");
      replies(i)["CLUSTER INFO"] = bulk(
          "cluster_state:ok\r\ncluster_slots_ok:16384\r\ncluster_slots_pfail:0\r\n"
          "cluster_slots_fail:0\r\n");
      list_nodes(i);
    }
  }

  std::map<std::string, std::string>& replies(std::size_t node) { return nodes.at(node).replies; }

  // The reply of a node to CLUSTER NODES. `more`: further lines.
  void list_nodes(std::size_t myself, std::size_t failed = kSize, const std::string& more = "") {
    std::string text;
    for (std::size_t i = 0; i < kSize; ++i) {
      text += id(i) + ' ' + address(i) + "@1 " + (i == myself ? "myself," : "") + "master" +
              (i == failed ? ",fail" : "") + " - 0 0 1 connected " + std::to_string(i) + '\n';
    }
    replies(myself)["CLUSTER NODES"] = bulk(text + more);
  }

  static std::string id(std::size_t node) { return std::string(1, static_cast<char>('a' + node)); }
  [[nodiscard]] std::string address(std::size_t node) const { return nodes.at(node).endpoint(); }
  [[nodiscard]] std::map<std::string, std::string> labels(std::size_t node) const {
    return {{"node_id", id(node)}, {"address", address(node)}};
  }
  [[nodiscard]] std::unique_ptr<Probe> make(const std::string& more = "") {
    return fixture.make("redis", "url: 'redis://" + address(0) + "', cluster_nodes: true" + more);
  }

  test::ProbeFixture fixture;
  std::array<test::RedisScript, kSize> nodes{test::RedisScript(fixture.loop),
                                             test::RedisScript(fixture.loop),
                                             test::RedisScript(fixture.loop)};
};

TEST_F(ClusterWalkTest, PublishesTheViewOfEachNode) {
  replies(2)["CLUSTER INFO"] = bulk(
      "cluster_state:fail\r\ncluster_slots_ok:5461\r\ncluster_slots_pfail:10922\r\n"
      "cluster_slots_fail:1\r\n");
  const test::Observation run = fixture.observe(*make());
  EXPECT_EQ(run.failure(), "");
  for (std::size_t i = 0; i < kSize; ++i) {
    const bool cut_off = i == 2;
    EXPECT_EQ(run.value("redis_cluster_node_reached", labels(i)), 1);
    EXPECT_EQ(run.value("redis_cluster_node_state", labels(i)), cut_off ? 0 : 1);
    EXPECT_EQ(run.value("redis_cluster_node_slots_ok", labels(i)), cut_off ? 5461 : 16384);
    EXPECT_EQ(run.value("redis_cluster_node_slots_pfail", labels(i)), cut_off ? 10922 : 0);
    EXPECT_EQ(run.value("redis_cluster_node_slots_fail", labels(i)), cut_off ? 1 : 0);
  }
  EXPECT_EQ(run.reading("cluster_views", address(2) + " (cluster down)"), 1);
}

// The check of the cluster's state reports it.
TEST_F(ClusterWalkTest, DoesNotReportAClusterThatAllNodesSeeDown) {
  for (std::size_t i = 0; i < kSize; ++i) {
    replies(i)["CLUSTER INFO"] = bulk(
        "cluster_state:fail\r\ncluster_slots_ok:16383\r\ncluster_slots_pfail:0\r\n"
        "cluster_slots_fail:0\r\n");
  }
  EXPECT_EQ(fixture.observe(*make()).reading("cluster_views"), 0);
}

TEST_F(ClusterWalkTest, ReportsANodeThatOnlyTheClusterReaches) {
  nodes[1].stop();
  replies(2)["CLUSTER INFO"] = "-NOPERM no permissions\r\n";
  const test::Observation run = fixture.observe(*make());
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("redis_cluster_node_reached", labels(0)), 1);
  EXPECT_EQ(run.value("redis_cluster_node_reached", labels(1)), 0);
  EXPECT_EQ(run.value("redis_cluster_node_up", labels(1)), 1);
  EXPECT_EQ(run.count("redis_cluster_node_state"), 1U);
  EXPECT_EQ(
      run.reading("cluster_views", address(1) + " (connect), " + address(2) + " (permission)"), 2);
}

TEST_F(ClusterWalkTest, DoesNotVisitANodeThatTheClusterConsidersFailed) {
  nodes[1].stop();
  list_nodes(0, 1);
  const test::Observation run = fixture.observe(*make());
  EXPECT_EQ(run.value("redis_cluster_node_failed", labels(1)), 1);
  EXPECT_EQ(run.count("redis_cluster_node_reached"), 2U);
  EXPECT_EQ(run.reading("cluster_views"), 0);
}

TEST_F(ClusterWalkTest, VisitsANodeOnceAMinuteAndOneWithAProblemInEachRun) {
  const auto probe = make();
  const std::string healthy = replies(2)["CLUSTER INFO"];
  replies(2)["CLUSTER INFO"] = bulk("cluster_state:fail\r\n");
  EXPECT_EQ(fixture.observe(*probe).value("redis_cluster_node_state", labels(2)), 0);
  replies(2)["CLUSTER INFO"] = healthy;
  EXPECT_EQ(fixture.observe(*probe).value("redis_cluster_node_state", labels(2)), 1);
  EXPECT_EQ(fixture.observe(*probe).count("redis_cluster_node_reached"), kSize);
  EXPECT_EQ(nodes[0].accepted(), 1);  // the kept connection
  EXPECT_EQ(nodes[1].accepted(), 1);
  EXPECT_EQ(nodes[1].commands, std::vector<std::string>{"CLUSTER INFO"});
  EXPECT_EQ(nodes[2].accepted(), 2);
}

// A run has 10 s by default, a visit an eighth of it, but at most a second.
TEST_F(ClusterWalkTest, WaitsASecondForANodeThatHangs) {
  replies(1)["CLUSTER INFO"] = "";
  const auto start = std::chrono::steady_clock::now();
  const test::Observation run = fixture.observe(*make());
  EXPECT_GE(std::chrono::steady_clock::now() - start, std::chrono::seconds(1));
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(run.value("redis_cluster_node_reached", labels(1)), 0);
  EXPECT_EQ(run.value("redis_cluster_node_reached", labels(2)), 1);
  EXPECT_EQ(run.reading("cluster_views", address(1) + " (timeout)"), 1);
}

TEST_F(ClusterWalkTest, EndsWithACancelledRun) {
  replies(1)["CLUSTER INFO"] = "";
  const auto probe = make();
  auto task = fixture.begin(*probe);
  ASSERT_TRUE(fixture.until([&] { return !nodes[1].commands.empty(); }));
  task.cancel();
  EXPECT_THROW(task.get(), boost::system::system_error);
}

TEST_F(ClusterWalkTest, ReadsTheClusterFromAnotherNodeIfTheServerIsDown) {
  const auto probe = make();
  fixture.observe(*probe);
  nodes[0].stop();
  list_nodes(1, 0);
  list_nodes(2, 0);
  EXPECT_EQ(fixture.observe(*probe).count("redis_cluster_node_up"), 0U);  // the last ones stay
  for (int i = 0; i < 2; ++i) {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_EQ(run.reason(), "connect");
    EXPECT_EQ(run.value("redis_cluster_node_failed", labels(0)), 1);
    EXPECT_EQ(run.value("redis_cluster_node_up", labels(1)), 1);
    EXPECT_EQ(run.value("redis_cluster_node_up", labels(2)), 1);
    EXPECT_EQ(run.count("redis_cluster_node_reached"), 2U);
    EXPECT_EQ(run.value("redis_cluster_state"), 1);
    nodes[1].stop();  // then from the last node
  }
}

TEST_F(ClusterWalkTest, PublishesTheClusterOnceIfTheServerIsBack) {
  const auto probe = make();
  fixture.observe(*probe);
  replies(0)["INFO"] = "-LOADING Redis is loading the dataset in memory\r\n";
  EXPECT_EQ(fixture.observe(*probe).reason(), "unready");
  const std::string info = bulk("used_memory:7\r\ncluster_enabled:1\r\n");
  replies(0)["INFO"] = info;
  for (int i = 0; i < 2; ++i) {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_EQ(run.failure(), "");
    EXPECT_EQ(run.duplicates(), 0U);
    EXPECT_EQ(run.count("redis_cluster_node_up"), kSize);
    EXPECT_EQ(run.value("redis_memory_used_bytes"), 7);
  }
}

TEST_F(ClusterWalkTest, InheritsTheNodes) {
  const auto old = make();
  fixture.observe(*old);
  nodes[0].stop();
  fixture.observe(*old);
  const auto successor = make(", replicas: 1");
  successor->inherit(*old);
  EXPECT_EQ(fixture.observe(*successor).count("redis_cluster_node_up"), kSize);
}

// The host would be taken for the path of a Unix socket.
TEST_F(ClusterWalkTest, DoesNotConnectToAnInvalidAddress) {
  list_nodes(0, kSize,
             "x /run/redis.sock:1@2 master - 0 0 1 connected\n"
             "y :6379@2 master - 0 0 1 connected\n"
             "z 127.0.0.1:0@2 master - 0 0 1 connected\nw none master - 0 0 1 connected\n");
  const test::Observation run = fixture.observe(*make());
  EXPECT_EQ(run.count("redis_cluster_node_up"), kSize + 4);
  EXPECT_EQ(run.count("redis_cluster_node_reached"), kSize);
  EXPECT_EQ(run.reading("cluster_views"), 0);
}

TEST_F(ClusterWalkTest, SendsTheUserAndThePasswordToEachNode) {
  for (std::size_t i = 0; i < kSize; ++i) replies(i)["AUTH monitor hunter2"] = "+OK\r\n";
  const auto probe = fixture.make(
      "redis", "url: 'redis://monitor:hunter2@" + address(0) + "', cluster_nodes: true");
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(run.failure(), "");
  EXPECT_EQ(nodes[1].commands, (std::vector<std::string>{"AUTH monitor hunter2", "CLUSTER INFO"}));
}

TEST_F(ClusterWalkTest, VisitsNoNodeWithoutTheOption) {
  const test::Observation run = fixture.observe("redis", "url: 'redis://" + address(0) + '\'');
  EXPECT_EQ(run.count("redis_cluster_node_up"), kSize);
  EXPECT_EQ(run.count("redis_cluster_node_reached"), 0U);
  EXPECT_EQ(run.reading("cluster_views"), std::nullopt);
  EXPECT_EQ(nodes[1].accepted(), 0);
}

TEST_F(ClusterWalkTest, FailsIfTheServerIsNotANodeOfACluster) {
  replies(0)["INFO"] = bulk("used_memory:7\r\ncluster_enabled:0\r\n");
  const test::Observation run = fixture.observe(*make());
  EXPECT_EQ(run.failure(),
            "mismatch: the server is not a node of a cluster: remove the option cluster_nodes");
  EXPECT_FALSE(run.threw());
}

TEST(ClusterView, IsUnhealthyWithoutAState) {
  EXPECT_EQ(redis::read_view(RedisInfo("cluster_state:ok\r\n")).problem, "");
  for (const char* text : {"", "cluster_state:\r\n", "cluster_state:fail\r\n", "nonsense"}) {
    EXPECT_EQ(redis::read_view(RedisInfo(text)).problem, "cluster down") << text;
  }
}

}  // namespace
}  // namespace vitalsd
