#include "probes/rabbitmq/management.hpp"

#include "probes/error.hpp"

#include <string>
#include <string_view>
#include <vector>

#include "unit/support/readers.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::rabbitmq {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

template <class Read>
std::string error_of(const Read& read, std::string_view body) {
  return test::protocol_error_of([&] { read(body); });
}

TEST(ManagementUser, SeesAllWithTheTagMonitoringOrAdministrator) {
  const auto sees_all = [](const std::string& tags) {
    return read_user(R"({"name":"u","tags":)" + tags + '}').sees_all();
  };
  EXPECT_TRUE(sees_all(R"(["monitoring"])"));
  EXPECT_TRUE(sees_all(R"(["policymaker","administrator"])"));
  EXPECT_TRUE(sees_all(R"("management,monitoring")"));  // before 3.9
  EXPECT_FALSE(sees_all(R"(["management"])"));
  EXPECT_FALSE(sees_all(R"("management")"));
  EXPECT_FALSE(sees_all(R"([])"));
  EXPECT_FALSE(sees_all(R"([1,null])"));
}

TEST(ManagementUser, TheCommandKeepsTheOtherTags) {
  const auto command = [](const std::string& name, const std::string& tags) {
    return read_user(R"({"name":")" + name + R"(","tags":)" + tags + '}').granting_command();
  };
  EXPECT_EQ(command("u", R"(["management"])"), "rabbitmqctl set_user_tags u monitoring");
  EXPECT_EQ(command("u", R"(["policymaker","management"])"),
            "rabbitmqctl set_user_tags u policymaker monitoring");
  EXPECT_EQ(command("a b", "[]"), "rabbitmqctl set_user_tags 'a b' monitoring");
}

TEST(ManagementNodes, HaveWhatTheServerKnows) {
  const std::vector<ManagedNode> nodes = read_nodes(
      R"([{"name":"rabbit@a","running":true,"mem_alarm":true,"disk_free_alarm":false,)"
      R"("partitions":["rabbit@b"],"mem_used":100,"mem_limit":200,"disk_free":5e9,)"
      R"("disk_free_limit":50000000,"fd_used":33,"fd_total":1048576},)"
      R"({"name":"rabbit@b","running":false},)"
      R"({"name":"rabbit@c","running":true,"disk_free":"disk_free_monitoring_disabled"}])");
  ASSERT_EQ(nodes.size(), 3U);
  EXPECT_TRUE(nodes[0].running);
  EXPECT_EQ(nodes[0].memory_alarm, true);
  EXPECT_EQ(nodes[0].disk_alarm, false);
  EXPECT_EQ(nodes[0].partitions, 1);
  EXPECT_EQ(nodes[0].memory_bytes, 100);
  EXPECT_EQ(nodes[0].memory_limit_bytes, 200);
  EXPECT_EQ(nodes[0].disk_free_bytes, 5e9);
  EXPECT_EQ(nodes[0].max_descriptors, 1048576);
  EXPECT_FALSE(nodes[1].running);
  EXPECT_EQ(nodes[1].memory_alarm, std::nullopt);  // unknown, not false
  EXPECT_EQ(nodes[1].partitions, std::nullopt);
  EXPECT_EQ(nodes[2].disk_free_bytes, std::nullopt);
}

TEST(ManagementAlarms, AreThoseInEffect) {
  EXPECT_TRUE(read_alarms(R"({"status":"ok"})").empty());
  const std::vector<Alarm> alarms =
      read_alarms(R"({"status":"failed","reason":"There are alarms in effect in the cluster",)"
                  R"("alarms":[{"node":"rabbit@a","resource":"memory"}]})");
  ASSERT_EQ(alarms.size(), 1U);
  EXPECT_EQ(alarms[0].node, "rabbit@a");
  EXPECT_EQ(alarms[0].resource, "memory");
}

TEST(ManagementQueues, HaveCountsAndAttributes) {
  const QueueList list = read_queues(
      R"({"filtered_count":3,"item_count":2,"page":1,"page_count":2,"page_size":2,"total_count":3,)"
      R"("items":[{"name":"a","vhost":"/","messages_ready":3,"messages_unacknowledged":1,)"
      R"("messages":4,"consumers":2,"type":"quorum","state":"running","policy":"ha","durable":true,)"
      R"("exclusive":false,"auto_delete":true},{"name":"b","vhost":"shop","policy":null}]})");
  EXPECT_EQ(list.pages, 2U);
  EXPECT_EQ(list.total, 3U);
  ASSERT_EQ(list.queues.size(), 2U);
  const Queue& a = list.queues[0];
  EXPECT_EQ(a.ready, 3);
  EXPECT_EQ(a.unacked, 1);
  EXPECT_EQ(a.messages, 4);
  EXPECT_EQ(a.consumers, 2);
  EXPECT_EQ(a.attributes.type, "quorum");
  EXPECT_EQ(a.attributes.state, "running");
  EXPECT_EQ(a.attributes.policy, "ha");
  EXPECT_EQ(a.attributes.durable, true);
  EXPECT_TRUE(a.is_temporary());
  const Queue& b = list.queues[1];
  EXPECT_EQ(b.title(), "shop/b");
  EXPECT_EQ(b.ready, std::nullopt);
  EXPECT_EQ(b.consumers, std::nullopt);
  EXPECT_EQ(b.attributes.type, "");
  EXPECT_EQ(b.attributes.exclusive, std::nullopt);
  EXPECT_FALSE(b.is_temporary());
}

TEST(ManagementQueues, AreAlsoReadFromAServerWithoutPaging) {
  const QueueList list = read_queues(R"([{"name":"amq.gen-1","vhost":"/"},{"vhost":"/"},7])");
  ASSERT_EQ(list.queues.size(), 1U);
  EXPECT_TRUE(list.queues[0].is_temporary());
}

TEST(ManagementResponses, OfAnotherFormAreErrors) {
  EXPECT_THAT(error_of(read_user, "<html>"), HasSubstr("/api/whoami: "));
  EXPECT_THAT(error_of(read_user, "{}"), HasSubstr("has no tags"));
  EXPECT_THAT(error_of(read_nodes, "{}"), HasSubstr("/api/nodes: the response has no list"));
  EXPECT_THAT(error_of(read_nodes, "[]"), HasSubstr("no node"));
  EXPECT_THAT(error_of(read_alarms, "{}"), HasSubstr("/api/health/checks/alarms: "));
  EXPECT_THAT(error_of(read_alarms, "[]"), HasSubstr("not an object"));
  EXPECT_THAT(error_of(read_queues, "{}"), HasSubstr("/api/queues: the response has no list"));
  EXPECT_THAT(error_of(read_queues, "7"), HasSubstr("the response has no list"));
  EXPECT_THAT(error_of(read_queues, std::string(100, '[')), HasSubstr("/api/queues: "));
}

TEST(ManagementResponses, MayHaveAReason) {
  EXPECT_EQ(read_reason(R"({"error":"not_authorised","reason":"Login failed"})"), "Login failed");
  EXPECT_EQ(read_reason("Unauthorized"), "");
  EXPECT_EQ(read_reason("[]"), "");
}

}  // namespace
}  // namespace vitalsd::rabbitmq
