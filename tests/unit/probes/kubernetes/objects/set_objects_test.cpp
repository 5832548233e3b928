#include "probes/kubernetes/objects/set_objects.hpp"

#include "unit/support/protobuf.hpp"

namespace vitalsd::kubernetes {
namespace {

using test::Message;
using test::metadata;

Message deployment_condition(std::string_view type, std::string_view status,
                             std::string_view reason) {
  return Message().text(1, type).text(2, status).text(4, reason).time(7, 50).text(5, "words");
}

Message deployment() {
  const Message status =
      Message()
          .number(1, 3)
          .number(2, 5)
          .number(3, 2)
          .number(4, 4)
          .number(5, 1)
          .message(6, deployment_condition("Available", "True", "Enough"))
          .message(6, deployment_condition("Progressing", "False", "ProgressDeadlineExceeded"))
          .number(7, 3)
          .number(9, 1);
  return Message()
      .message(1, metadata("web"))
      .message(2, Message().number(1, 6).number(7, 1))
      .message(3, status);
}

TEST(SetObjects, ReadsADeployment) {
  const Deployment web = read_deployment(test::with_unknown_fields(deployment()).bytes());
  EXPECT_EQ(web.key(), "shop/web");
  EXPECT_EQ(web.meta.generation, 4);
  EXPECT_EQ(web.wanted, 6);
  EXPECT_TRUE(web.paused);
  EXPECT_EQ(web.observed_generation, 3);
  EXPECT_EQ(web.replicas, 5);
  EXPECT_EQ(web.updated, 2);
  EXPECT_EQ(web.available, 4);
  EXPECT_EQ(web.unavailable, 1);
  EXPECT_EQ(web.ready, 3);
  ASSERT_NE(web.condition("Available"), nullptr);
  EXPECT_EQ(web.condition("Available")->status.get(), "True");
  EXPECT_EQ(web.condition("Available")->since, 50);
  EXPECT_EQ(web.condition("ReplicaFailure"), nullptr);
  EXPECT_TRUE(web.is_stuck());
}

TEST(SetObjects, IsStuckOnlyAfterTheProgressDeadline) {
  const auto stuck = [](std::string_view status, std::string_view reason) {
    const Message condition = deployment_condition("Progressing", status, reason);
    return read_deployment(Message().message(3, Message().message(6, condition)).bytes())
        .is_stuck();
  };
  EXPECT_TRUE(stuck("False", "ProgressDeadlineExceeded"));
  EXPECT_FALSE(stuck("True", "ProgressDeadlineExceeded"));
  EXPECT_FALSE(stuck("False", "FailedCreate"));
  EXPECT_FALSE(stuck("Perhaps", "ProgressDeadlineExceeded"));
  EXPECT_FALSE(Deployment().is_stuck());
}

TEST(SetObjects, WantsOneReplicaByDefault) {
  EXPECT_EQ(read_deployment(Message().message(2, Message()).bytes()).wanted, 1);
  EXPECT_EQ(read_deployment(Message().message(2, Message().number(1, 0)).bytes()).wanted, 0);
  EXPECT_EQ(read_stateful_set("").wanted, 1);
}

Message stateful_set() {
  const Message status = Message()
                             .number(1, 4)
                             .number(2, 3)
                             .number(3, 2)
                             .number(4, 1)
                             .number(5, 2)
                             .text(6, "db-1")
                             .text(7, "db-2")
                             .number(11, 2);
  return Message().message(1, metadata("db")).message(2, Message().number(1, 3)).message(3, status);
}

TEST(SetObjects, ReadsAStatefulSet) {
  const StatefulSet db = read_stateful_set(test::with_unknown_fields(stateful_set()).bytes());
  EXPECT_EQ(db.key(), "shop/db");
  EXPECT_EQ(db.wanted, 3);
  EXPECT_EQ(db.observed_generation, 4);
  EXPECT_EQ(db.replicas, 3);
  EXPECT_EQ(db.ready, 2);
  EXPECT_EQ(db.current, 1);
  EXPECT_EQ(db.updated, 2);
  EXPECT_EQ(db.available, 2);
  EXPECT_EQ(db.current_revision, "db-1");
  EXPECT_EQ(db.update_revision, "db-2");
}

Message daemon_set() {
  Message status;
  for (int tag = 1; tag <= 8; ++tag) status.number(tag, 10 + tag);
  return Message().message(1, metadata("agent")).message(2, Message()).message(3, status);
}

TEST(SetObjects, ReadsADaemonSet) {
  const DaemonSet agent = read_daemon_set(test::with_unknown_fields(daemon_set()).bytes());
  EXPECT_EQ(agent.key(), "shop/agent");
  EXPECT_EQ(agent.scheduled, 11);
  EXPECT_EQ(agent.misscheduled, 12);
  EXPECT_EQ(agent.wanted, 13);
  EXPECT_EQ(agent.ready, 14);
  EXPECT_EQ(agent.observed_generation, 15);
  EXPECT_EQ(agent.updated, 16);
  EXPECT_EQ(agent.available, 17);
  EXPECT_EQ(agent.unavailable, 18);
}

TEST(SetObjects, RejectsMalformedBytes) {
  test::expect_hostile_bytes_refused(deployment().bytes(), &read_deployment);
  test::expect_hostile_bytes_refused(stateful_set().bytes(), &read_stateful_set);
  test::expect_hostile_bytes_refused(daemon_set().bytes(), &read_daemon_set);
}

}  // namespace
}  // namespace vitalsd::kubernetes
