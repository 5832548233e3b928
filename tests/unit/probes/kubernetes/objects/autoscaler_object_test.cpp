#include "probes/kubernetes/objects/autoscaler_object.hpp"

#include "unit/support/protobuf.hpp"

namespace vitalsd::kubernetes {
namespace {

using test::Message;
using test::metadata;

Message autoscaler() {
  const Message target = Message().text(1, "Deployment").text(2, "web").text(3, "apps/v1");
  const Message condition = Message()
                                .text(1, "ScalingActive")
                                .text(2, "False")
                                .time(3, 90)
                                .text(4, "FailedGetResourceMetric");
  return Message()
      .message(1, metadata("web"))
      .message(2, Message().message(1, target).number(2, 2).number(3, 9).message(4, Message()))
      .message(3, Message().number(3, 4).number(4, 9).message(6, condition));
}

TEST(AutoscalerObject, ReadsAllFields) {
  const Autoscaler web = read_autoscaler(test::with_unknown_fields(autoscaler()).bytes());
  EXPECT_EQ(web.key(), "shop/web");
  EXPECT_EQ(web.target_kind, "Deployment");
  EXPECT_EQ(web.target_name, "web");
  EXPECT_EQ(web.target_api_version, "apps/v1");
  EXPECT_EQ(web.min, 2);
  EXPECT_EQ(web.max, 9);
  EXPECT_EQ(web.current, 4);
  EXPECT_EQ(web.desired, 9);
  ASSERT_EQ(web.conditions.size(), 1U);
  EXPECT_EQ(web.conditions[0].type.get(), "ScalingActive");
  EXPECT_EQ(web.conditions[0].reason.get(), "FailedGetResourceMetric");
  EXPECT_EQ(web.conditions[0].since, 90);
  EXPECT_TRUE(web.at_max());
}

TEST(AutoscalerObject, ReadsMetrics) {
  const auto quantity = [](std::string_view text) { return Message().text(1, text); };
  const auto metric = [](std::uint32_t source, const Message& content) {
    return Message().text(1, "its type").message(source, content);
  };
  const Message queue = Message().text(1, "queue_length");
  const Message spec =
      Message()
          .message(4, metric(4, Message().text(1, "cpu").message(2, Message().number(4, 80))))
          .message(4, metric(7, Message()
                                    .text(1, "memory")
                                    .text(3, "web")
                                    .message(2, Message().message(3, quantity("1Gi")))))
          .message(4, metric(5, Message().message(1, queue).message(
                                    2, Message().message(2, quantity("1500m")))))
          .message(4, metric(2, Message()
                                    .message(1, Message().text(1, "Ingress").text(2, "main"))
                                    .message(2, Message().message(2, quantity("10k")))
                                    .message(3, Message().text(1, "hits"))))
          .message(4, metric(3, Message().message(1, Message().text(1, "hits"))))
          .message(4, metric(7, Message()
                                    .text(1, "memory")
                                    .text(3, "log")
                                    .message(2, Message().message(3, quantity("2Gi")))))
          .message(4, metric(9, Message().text(1, "of a future version")));
  const Message status =
      Message()
          .message(5, metric(4, Message().text(1, "cpu").message(
                                    2, Message().message(2, quantity("250m")).number(3, 62))))
          .message(5, metric(2, Message()
                                    .message(1, Message().text(1, "hits"))
                                    .message(2, Message().message(1, quantity("9k")))
                                    .message(3, Message().text(1, "Ingress").text(2, "main"))));
  const Autoscaler web = read_autoscaler(Message().message(2, spec).message(3, status).bytes());
  using Readings = std::vector<AutoscalerReading>;
  EXPECT_EQ(web.targets, (Readings{{"cpu", "utilization", 80},
                                   {"memory", "average", 1073741824, "web"},
                                   {"queue_length", "value", 1.5},
                                   {"hits", "value", 10'000, "", "Ingress/main"},
                                   {"memory", "average", 2147483648, "log"}}));
  EXPECT_EQ(web.readings, (Readings{{"cpu", "average", 0.25},
                                    {"cpu", "utilization", 62},
                                    {"hits", "value", 9'000, "", "Ingress/main"}}));
  test::expect_hostile_bytes_refused(Message().message(2, spec).message(3, status).bytes(),
                                     &read_autoscaler);
}

TEST(AutoscalerObject, DistinguishesExternalMetricsBySelector) {
  const auto metric = [](const Message& selector) {
    const Message identifier = Message().text(1, "queue_length").message(2, selector);
    const Message target = Message().message(2, Message().text(1, "30"));
    return Message().message(5, Message().message(1, identifier).message(2, target));
  };
  const auto requirement = [](std::string_view label, std::string_view op) {
    return Message().text(1, label).text(2, op);
  };
  const Message expressions = Message()
                                  .message(2, requirement("tier", "In").text(3, "a").text(3, "b"))
                                  .message(2, requirement("zone", "NotIn").text(3, "c"))
                                  .message(2, requirement("team", "Exists"))
                                  .message(2, requirement("old", "DoesNotExist"))
                                  .entry(1, "queue", "orders");
  const Message spec = Message()
                           .message(4, metric(Message().entry(1, "queue", "orders")))
                           .message(4, metric(Message().entry(1, "queue", "returns")))
                           .message(4, metric(expressions));
  const Autoscaler web = read_autoscaler(Message().message(2, spec).bytes());
  ASSERT_EQ(web.targets.size(), 3U);
  EXPECT_EQ(web.targets[0].selector, "queue=orders");
  EXPECT_EQ(web.targets[1].selector, "queue=returns");
  EXPECT_EQ(web.targets[2].selector, "!old,queue=orders,team,tier in (a,b),zone notin (c)");

  test::expect_hostile_bytes_refused(Message().message(2, spec).bytes(), &read_autoscaler);
}

TEST(AutoscalerObject, ReadsVersionOne) {
  // In v1, fields 4 and 5 are percentages of CPU.
  const Message spec = Message().number(2, 1).number(3, 5).number(4, 80);
  const Message status = Message().number(3, 2).number(4, 3).number(5, 60);
  const Autoscaler web = read_autoscaler(
      Message().message(1, metadata("web")).message(2, spec).message(3, status).bytes());
  EXPECT_EQ(web.max, 5);
  EXPECT_EQ(web.current, 2);
  EXPECT_EQ(web.desired, 3);
  EXPECT_FALSE(web.at_max());
  using Readings = std::vector<AutoscalerReading>;
  EXPECT_EQ(web.targets, (Readings{{"cpu", "utilization", 80}}));
  EXPECT_EQ(web.readings, (Readings{{"cpu", "utilization", 60}}));
}

TEST(AutoscalerObject, IsAtMaxOnlyIfMinAndMaxDiffer) {
  Autoscaler web;
  EXPECT_EQ(web.min, 1);
  web.max = web.desired = 1;
  EXPECT_FALSE(web.at_max());
  web.max = web.desired = 2;
  EXPECT_TRUE(web.at_max());
  web.desired = 1;
  EXPECT_FALSE(web.at_max());
}

TEST(AutoscalerObject, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(autoscaler().bytes(), &read_autoscaler);
}

}  // namespace
}  // namespace vitalsd::kubernetes
