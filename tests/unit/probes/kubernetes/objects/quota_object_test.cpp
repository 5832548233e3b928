#include "probes/kubernetes/objects/quota_object.hpp"

#include "unit/support/protobuf.hpp"
#include <gmock/gmock.h>

namespace vitalsd::kubernetes {
namespace {

using test::Message;
using test::metadata;
using testing::ElementsAre;
using testing::Pair;

Message quota() {
  const Message status = Message()
                             .amount(1, "requests.memory", "1Gi")
                             .amount(1, "limits.cpu", "2500m")
                             .amount(1, "pods", "1e1")
                             .amount(2, "requests.memory", "512Mi")
                             .amount(2, "limits.cpu", "2");
  return Message()
      .message(1, metadata("team"))
      .message(2, Message().amount(1, "limits.cpu", "9"))
      .message(3, status);
}

TEST(QuotaObject, ReadsTheStatus) {
  const Quota team = read_quota(test::with_unknown_fields(quota()).bytes());
  EXPECT_EQ(team.key(), "shop/team");
  EXPECT_THAT(team.hard, ElementsAre(Pair("limits.cpu", 2.5), Pair("pods", 10),
                                     Pair("requests.memory", 1073741824)));
  EXPECT_THAT(team.used, ElementsAre(Pair("limits.cpu", 2), Pair("requests.memory", 536870912)));
  EXPECT_EQ(team.used_ratio("limits.cpu"), 0.8);
  EXPECT_EQ(team.used_ratio("requests.memory"), 0.5);
  EXPECT_EQ(team.used_ratio("pods"), std::nullopt) << "its use is unknown";
  EXPECT_EQ(team.used_ratio("services"), std::nullopt);
}

TEST(QuotaObject, HasNoRatioIfTheLimitIsZero) {
  const Message status = Message().amount(1, "pods", "0").amount(2, "pods", "0");
  EXPECT_EQ(read_quota(Message().message(3, status).bytes()).used_ratio("pods"), std::nullopt);
}

TEST(QuotaObject, LeavesOutInvalidQuantities) {
  const Message status = Message().amount(1, "pods", "ten").amount(1, "limits.cpu", "1");
  EXPECT_THAT(read_quota(Message().message(3, status).bytes()).hard,
              ElementsAre(Pair("limits.cpu", 1)));
}

TEST(QuotaObject, RemovesDuplicateResources) {
  const Message status = Message().amount(1, "pods", "1").amount(1, "pods", "2");
  EXPECT_EQ(read_quota(Message().message(3, status).bytes()).hard.size(), 1U);
}

TEST(QuotaObject, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(quota().bytes(), &read_quota);
}

}  // namespace
}  // namespace vitalsd::kubernetes
