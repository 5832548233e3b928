#include "probes/rabbitmq/node_page.hpp"

#include "probes/error.hpp"

#include <cstddef>
#include <string>
#include <string_view>

#include "unit/support/readers.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::rabbitmq {
namespace {

using testing::HasSubstr;

const std::string kIdentity =
    "# TYPE rabbitmq_identity_info untyped\n"
    "rabbitmq_identity_info{rabbitmq_node=\"rabbit@a\",rabbitmq_cluster=\"shop\","
    "rabbitmq_cluster_permanent_id=\"id\"} 1\n";

NodePage read(std::string_view text, std::size_t piece = std::string_view::npos) {
  return test::read_in_pieces(NodePageReader(), text, piece);
}

std::string error_of(std::string_view text) {
  return test::protocol_error_of([&] { read(text); });
}

std::string line(std::string_view family, std::string_view queue, std::string_view value) {
  return "rabbitmq_detailed_" + std::string(family) + "{vhost=\"/\",queue=\"" + std::string(queue) +
         "\"} " + std::string(value) + '\n';
}

TEST(NodePage, HasTheCountsOfEachQueue) {
  const std::string text =
      "# TYPE rabbitmq_detailed_queue_messages_ready gauge\n" +
      line("queue_messages_ready", "a", "5") + line("queue_messages_ready", "b", "0") +
      line("queue_messages_unacked", "a", "2") + line("queue_messages_unacked", "b", "0") +
      line("queue_messages", "b", "0") + line("queue_messages", "a", "7") +
      line("queue_process_reductions_total", "a", "99") + line("queue_consumers", "b", "3") +
      kIdentity;
  for (const std::size_t piece : {std::string_view::npos, std::size_t{1}, std::size_t{7}}) {
    const NodePage page = read(text, piece);
    EXPECT_EQ(page.node, "rabbit@a");
    EXPECT_EQ(page.cluster, "id");
    ASSERT_EQ(page.queues.size(), 2U);
    const Queue& a = page.queues[0];
    EXPECT_EQ(a.title(), "a");
    EXPECT_EQ(a.ready, 5);
    EXPECT_EQ(a.unacked, 2);
    EXPECT_EQ(a.messages, 7);
    EXPECT_EQ(a.consumers, std::nullopt);  // unknown, not 0
    EXPECT_EQ(page.queues[1].consumers, 3);
  }
}

TEST(NodePage, KeepsQueuesOfOneNameInTwoVirtualHostsApart) {
  const NodePage page = read(
      "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"a\"} 1\n"
      "rabbitmq_detailed_queue_messages{queue=\"a\",vhost=\"shop\"} 2\n" +
      kIdentity);
  ASSERT_EQ(page.queues.size(), 2U);
  EXPECT_EQ(page.queues[1].title(), "shop/a");
  EXPECT_EQ(page.queues[1].messages, 2);
}

TEST(NodePage, DecodesEscapedNames) {
  const NodePage page = read(line("queue_messages", R"(a\"b\\c\nd,e} 1{)", "1") + kIdentity);
  EXPECT_EQ(page.queues.at(0).name, "a\"b\\c\nd,e} 1{");
}

TEST(NodePage, ReadsNamesThatAreNotEscapedAndSkipsLinesThatAreInvalid) {
  const std::string strange = R"(a/b "c" \ {d="e"} \u)";
  const NodePage page =
      read(line("queue_messages", strange, "7") + line("queue_messages", "b", "x") +
           "rabbitmq_detailed_queue_messages{vhost=\"/\",queue=\"line\nfeed\"} 1\n" +
           line("queue_messages", "c", "2") + kIdentity);
  ASSERT_EQ(page.queues.size(), 2U);
  EXPECT_EQ(page.queues[0].name, strange);
  EXPECT_EQ(page.queues[0].vhost, "/");
  EXPECT_EQ(page.queues[0].messages, 7);
  EXPECT_EQ(page.queues[1].name, "c");
}

TEST(NodePage, IgnoresOtherFamiliesAndValuesThatAreNoCount) {
  const NodePage page =
      read("rabbitmq_queue_messages{vhost=\"/\",queue=\"other\"} 1\n" +
           line("queue_messages_published_total", "other", "1") +
           line("queue_messages", "a", "NaN") + line("queue_messages", "a", "+Inf") +
           line("queue_messages", "a", "-1") + line("queue_messages_ready", "a", "4") + kIdentity);
  ASSERT_EQ(page.queues.size(), 1U);
  EXPECT_EQ(page.queues[0].messages, std::nullopt);
  EXPECT_EQ(page.queues[0].ready, 4);
}

TEST(NodePage, OmitsTheConsumersThatADeletedQueueLeaves) {
  const NodePage page = read(line("queue_messages_ready", "a", "0") +
                             line("queue_consumers", "deleted", "1") + kIdentity);
  ASSERT_EQ(page.queues.size(), 1U);
  EXPECT_EQ(page.queues[0].name, "a");
}

TEST(NodePage, OfANodeWithoutQueuesIsEmpty) { EXPECT_TRUE(read(kIdentity).queues.empty()); }

TEST(NodePage, MustNameTheNode) {
  EXPECT_THAT(error_of(""), HasSubstr("has no rabbitmq_identity_info"));
  EXPECT_THAT(error_of("redis_up 1\n"), HasSubstr("Prometheus plug-in"));
}

TEST(NodePage, RefusesInvalidLines) {
  EXPECT_THAT(error_of("<html>\n"), HasSubstr("/metrics/detailed, line 1: expected a metric name"));
  EXPECT_THAT(error_of(kIdentity + "rabbitmq_detailed_queue_messages{vhost=\"/"),
              HasSubstr("line 3: the page ends in the middle of the line"));
  EXPECT_THAT(error_of(line("queue_messages", std::string(70'000, 'a'), "1")),
              HasSubstr("longer than 64 KiB"));
}

TEST(NodePage, HasALimitedNumberOfQueues) {
  NodePageReader reader;
  const auto feed_all = [&] {
    for (std::size_t i = 0; i <= kMaxQueues; ++i) {
      reader.feed(line("queue_messages", std::to_string(i), "1"));
    }
  };
  EXPECT_THROW(feed_all(), ProbeError);
}

}  // namespace
}  // namespace vitalsd::rabbitmq
