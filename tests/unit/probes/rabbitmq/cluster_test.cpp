#include "probes/rabbitmq/cluster.hpp"

#include "probes/error.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::rabbitmq {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::Pair;
using testing::UnorderedElementsAre;

NodePage page(const std::string& node, const std::string& queue, const std::string& cluster = "c") {
  NodePage out{.node = node, .cluster = cluster, .queues = {}};
  Queue& added = out.queues.emplace_back();
  added.vhost = "/";
  added.name = queue;
  return out;
}

class ClusterTest : public testing::Test {
 protected:
  /// The names of queues of `current` or `previous`.
  static std::vector<std::string> names(const std::vector<std::vector<Queue>*>& lists) {
    std::vector<std::string> out;
    for (const std::vector<Queue>* queues : lists) {
      for (const Queue& queue : *queues) out.push_back(queue.name);
    }
    return out;
  }
  void begin() {
    now += 15s;
    cluster.begin_run();
  }
  void end(const std::optional<std::vector<std::string>>& managed = {}) {
    if (!managed) return cluster.end_run(nullptr, now);
    std::vector<ManagedNode> nodes;
    for (const std::string& name : *managed) nodes.emplace_back().name = name;
    cluster.end_run(&nodes, now);
  }
  /// The error if `address` responds as `node`; empty if it is accepted.
  std::string add(const std::string& address, const std::string& node) {
    try {
      cluster.add(address, page(node, "q-" + node), now);
    } catch (const ProbeError& error) {
      EXPECT_EQ(error.reason(), Reason::mismatch);
      return error.what();
    }
    return "";
  }

  Cluster cluster;
  Cluster::Time now{};
};

TEST_F(ClusterTest, HasTheQueuesOfAllNodes) {
  begin();
  add("a:1", "rabbit@a");
  add("b:1", "rabbit@b");
  end();
  EXPECT_EQ(cluster.problem(), "");
  EXPECT_THAT(cluster.nodes(),
              UnorderedElementsAre(Pair("rabbit@a", true), Pair("rabbit@b", true)));
  EXPECT_THAT(names(cluster.current()), UnorderedElementsAre("q-rabbit@a", "q-rabbit@b"));
  EXPECT_TRUE(cluster.previous().empty());
}

TEST_F(ClusterTest, TheQueuesOfAMissingNodeAreKeptOnceAndThenUnknown) {
  begin();
  add("a:1", "rabbit@a");
  add("b:1", "rabbit@b");
  end();
  for (const int run : {1, 2, 3}) {
    begin();
    add("a:1", "rabbit@a");
    cluster.add_failure("b:1", "Connection refused");
    end();
    EXPECT_EQ(cluster.problem(),
              "1 of 2 nodes respond; the queues of rabbit@b are unknown; b:1: Connection refused");
    EXPECT_THAT(cluster.nodes(), testing::Contains(Pair("rabbit@b", false)));
    EXPECT_EQ(cluster.previous().size(), run == 1 ? 1U : 0U);
  }
  begin();
  add("a:1", "rabbit@a");
  add("b:1", "rabbit@b");
  end();
  EXPECT_EQ(cluster.problem(), "");
}

TEST_F(ClusterTest, ANodeThatLostItsAddressIsMissingForAnHour) {
  begin();
  add("a:1", "rabbit@a");
  add("b:1", "rabbit@b");
  end();
  begin();
  add("a:1", "rabbit@a");
  end();
  EXPECT_THAT(cluster.problem(), HasSubstr("the queues of rabbit@b are unknown; urls must have"));
  now += Cluster::kForget;
  begin();
  add("a:1", "rabbit@a");
  end();
  EXPECT_EQ(cluster.problem(), "");
}

TEST_F(ClusterTest, TheManagementApiKnowsTheNodes) {
  begin();
  add("a:1", "rabbit@a");
  end({{"rabbit@a", "rabbit@b"}});
  EXPECT_THAT(cluster.problem(), HasSubstr("1 of 2 nodes respond; the queues of rabbit@b"));
  EXPECT_THAT(cluster.problem(), HasSubstr("headless Service"));
  begin();
  add("a:1", "rabbit@a");
  end({{"rabbit@a"}});  // rabbit@b was removed from the cluster
  EXPECT_EQ(cluster.problem(), "");
}

TEST_F(ClusterTest, AnAddressOfSeveralNodesIsRefusedAndTheMessageNamesTheHeadlessService) {
  begin();
  EXPECT_EQ(add("lb:1", "rabbit@a"), "");
  begin();
  const std::string error = add("lb:1", "rabbit@b");
  EXPECT_THAT(error, HasSubstr("lb:1 responds as rabbit@b and as rabbit@a"));
  EXPECT_THAT(error, HasSubstr("headless Service"));
  EXPECT_THAT(error, HasSubstr("rabbitmq-nodes"));
  // Two responses of one node do not prove that the address is correct.
  begin();
  EXPECT_NE(add("lb:1", "rabbit@b"), "");
  begin();
  EXPECT_NE(add("lb:1", "rabbit@a"), "");
  for (int run = 1; run < Cluster::kTrust; ++run) {
    begin();
    EXPECT_NE(add("lb:1", "rabbit@a"), "") << run;
  }
  begin();
  EXPECT_EQ(add("lb:1", "rabbit@a"), "");
}

TEST_F(ClusterTest, ANodeMayMoveToAnAddressThatFailedBefore) {
  begin();
  add("10.0.0.1", "rabbit@a");
  add("10.0.0.2", "rabbit@b");
  end();
  begin();
  cluster.add_failure("10.0.0.1", "Connection refused");
  add("10.0.0.2", "rabbit@b");
  end();
  begin();
  EXPECT_EQ(add("10.0.0.1", "rabbit@b"), "");
  EXPECT_EQ(add("10.0.0.3", "rabbit@a"), "");
  end();
  EXPECT_EQ(cluster.problem(), "");
}

TEST_F(ClusterTest, ANodeWithTwoAddressesCountsOnce) {
  for (int run = 0; run < 2; ++run) {
    begin();
    add("[::1]:1", "rabbit@a");
    add("127.0.0.1:1", "rabbit@a");
    end();
    EXPECT_EQ(cluster.current().size(), 1U);
  }
  begin();
  add("127.0.0.1:1", "rabbit@a");
  cluster.add_failure("[::1]:1", "Connection refused");
  end();
  EXPECT_EQ(cluster.problem(), "");
}

TEST_F(ClusterTest, TwoClustersAreRefused) {
  begin();
  cluster.add("a:1", page("rabbit@a", "q", "one"), now);
  EXPECT_THROW(cluster.add("b:1", page("rabbit@b", "q", "two"), now), ProbeError);
}

}  // namespace
}  // namespace vitalsd::rabbitmq
