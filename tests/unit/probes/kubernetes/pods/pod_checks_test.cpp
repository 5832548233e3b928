#include "probes/kubernetes/pods/pod_checks.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "unit/support/protobuf.hpp"
#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using test::Message;

constexpr std::int64_t kNow = 1'000'000;
constexpr std::int64_t kMinute = 60;
constexpr std::uint32_t kContainers = 8;       // containerStatuses
constexpr std::uint32_t kInitContainers = 10;  // initContainerStatuses

// Unix seconds of a time before `kNow`.
constexpr std::int64_t ago(std::int64_t minutes) { return kNow - minutes * kMinute; }

Message waiting(std::string_view reason) { return Message().message(1, Message().text(1, reason)); }
Message running(std::int64_t since) { return Message().message(2, Message().time(1, since)); }
Message terminated(std::int64_t started, std::int64_t finished, int exit_code = 1) {
  return Message().message(3, Message().number(1, exit_code).time(5, started).time(6, finished));
}

struct Status {
  Message state{};
  Message last{};
  int restarts = 5;

  [[nodiscard]] Message message() const {
    return Message().text(1, "c").message(2, state).message(3, last).number(5, restarts);
  }
};

/// The reading of a check and the names that it reports, for one pod.
std::pair<double, std::string> examine(std::string_view check, const Pod& pod, double now = kNow) {
  PodFaults faults(now);
  if (pod.suspect()) faults.examine(pod);
  Part part;
  faults.report(part);
  const auto found = std::ranges::find(
      part.checks(), check, [](const CheckResult& result) { return result.check->name; });
  if (found == part.checks().end()) return {-1, ""};
  return {found->reading, found->object};
}

// A pod with one container or init container.
Pod pod_of(const Status& status, std::string_view policy = "Always",
           std::string_view phase = "Running", std::uint32_t kind = kContainers,
           bool sidecar = false) {
  Message spec = Message().text(3, policy);
  if (kind == kInitContainers) {
    Message container = Message().text(1, "c");
    if (sidecar) container.text(24, "Always");
    spec.message(20, container);
  }
  return read_pod(Message()
                      .message(1, test::metadata("p"))
                      .message(2, spec)
                      .message(3, Message().text(1, phase).message(kind, status.message()))
                      .bytes(),
                  PodDetail::basic);
}

double looping(const Pod& pod, double now = kNow) {
  return examine("crash_looping", pod, now).first;
}

const Message kCrashed = terminated(ago(3), ago(2));  // after a minute

TEST(PodChecks, AContainerThatIsRestartedAgainIsStillCrashLooping) {
  EXPECT_EQ(examine("crash_looping", pod_of({.state = waiting("CrashLoopBackOff"), .restarts = 1})),
            (std::pair<double, std::string>{1, "shop/p (c)"}));
  EXPECT_EQ(looping(pod_of({.state = running(ago(1)), .last = kCrashed})), 1);
  EXPECT_EQ(looping(pod_of({.state = terminated(ago(1), ago(0)), .last = kCrashed})), 1);
  EXPECT_EQ(looping(pod_of({.state = running(ago(1)), .last = kCrashed, .restarts = 3})), 1);
  EXPECT_EQ(looping(pod_of({.state = running(ago(1)), .last = kCrashed, .restarts = 2})), 0);
}

TEST(PodChecks, AContainerThatRanForTenMinutesIsNotCrashLooping) {
  const Pod pod = pod_of({.state = running(kNow), .last = kCrashed});
  EXPECT_TRUE(pod.suspect());
  EXPECT_EQ(looping(pod, kNow + 599), 1);
  EXPECT_EQ(looping(pod, kNow + 600), 0);
  const Message long_run = terminated(ago(30), ago(1));
  EXPECT_EQ(looping(pod_of({.state = running(ago(1)), .last = long_run})), 0);
  EXPECT_EQ(looping(pod_of({.state = long_run, .last = terminated(ago(40), ago(39))})), 0)
      << "the backoff starts again";
  EXPECT_EQ(looping(pod_of({.state = terminated(ago(12), ago(11)), .last = kCrashed})), 0)
      << "it has not just terminated";
}

TEST(PodChecks, AContainerThatCannotStartHasNoStartTime) {
  const Message not_started =
      Message().message(3, Message().number(1, 128).time(5, 0).time(6, kNow));
  EXPECT_EQ(looping(pod_of({.state = running(ago(1)), .last = not_started})), 1);
  EXPECT_EQ(looping(pod_of({.state = not_started, .last = not_started})), 1);
}

TEST(PodChecks, AContainerThatCompletedIsNotCrashLooping) {
  const Status done{.state = terminated(ago(2), ago(1), 0), .last = kCrashed};
  EXPECT_EQ(looping(pod_of(done, "Always")), 1) << "it is restarted";
  EXPECT_EQ(looping(pod_of(done, "OnFailure")), 0);
  EXPECT_EQ(looping(pod_of(done, "Always", "Pending", kInitContainers)), 0);
  const Status failed{.state = terminated(ago(2), ago(1)), .last = kCrashed};
  EXPECT_EQ(looping(pod_of(failed, "OnFailure")), 1);
  EXPECT_EQ(looping(pod_of(failed, "OnFailure", "Failed")), 0) << "the pod has ended";
}

TEST(PodChecks, AContainerOfAnEndedPodIsNotJudged) {
  for (const char* reason : {"CrashLoopBackOff", "ImagePullBackOff"}) {
    const Pod ended = pod_of({.state = waiting(reason), .restarts = 5}, "Always", "Failed");
    EXPECT_EQ(examine("crash_looping", ended, kNow).first, 0) << reason;
    EXPECT_EQ(examine("cannot_start", ended, kNow).first, 0) << reason;
  }
}

TEST(PodChecks, SidecarsAreJudgedAsContainers) {
  const auto sidecar = [](const Status& status) {
    return pod_of(status, "Never", "Running", kInitContainers, true);
  };
  EXPECT_EQ(looping(sidecar({.state = waiting("CrashLoopBackOff")})), 1);
  EXPECT_EQ(looping(sidecar({.state = running(ago(1)), .last = kCrashed})), 1);
  EXPECT_EQ(looping(sidecar({.state = terminated(ago(1), ago(0)), .last = kCrashed})), 1);
  EXPECT_EQ(looping(sidecar({.state = terminated(ago(1), ago(0), 0), .last = kCrashed})), 1)
      << "a sidecar is restarted after a success";
}

// ---- stuck --------------------------------------------------------------------------------------

Message condition(std::string_view type, std::string_view status, std::int64_t since,
                  std::string_view reason = "") {
  return Message().text(1, type).text(2, status).time(4, since).text(5, reason);
}

struct Starting {
  std::vector<Message> conditions{};
  std::vector<Message> containers{};  // states
  std::string_view phase = "Pending";
  std::int64_t created = ago(60);
  std::int64_t deleted = 0;

  [[nodiscard]] Pod read() const {
    Message meta = Message().text(1, "p").text(3, "shop").text(5, "uid-1").time(8, created);
    if (deleted != 0) meta.time(9, deleted);
    Message status = Message().text(1, phase);
    for (const Message& each : conditions) status.message(2, each);
    for (const Message& state : containers) {
      status.message(kContainers, Status{.state = state, .restarts = 0}.message());
    }
    return read_pod(Message().message(1, meta).message(3, status).bytes(), PodDetail::basic);
  }
};

// The name that the check `stuck` reports; empty if the pod is not stuck.
std::string stuck(const Starting& pod, double now = kNow) {
  return examine("stuck", pod.read(), now).second;
}

Message scheduled(std::int64_t since) { return condition("PodScheduled", "True", since); }

TEST(PodChecks, APodThatDoesNotStartIsStuck) {
  const Message creating = waiting("ContainerCreating");
  EXPECT_EQ(stuck({.conditions = {scheduled(ago(11))}, .containers = {creating}}),
            "shop/p (ContainerCreating)");
  EXPECT_EQ(stuck({.conditions = {scheduled(ago(11))}, .containers = {waiting("PodInitializing")}}),
            "shop/p (PodInitializing)");
  EXPECT_EQ(stuck({.conditions = {scheduled(ago(11))}}), "shop/p (Pending)")
      << "the kubelet does not report";
  EXPECT_EQ(stuck({.conditions = {scheduled(ago(9))}, .containers = {creating}}), "");
  const Starting pod{.conditions = {scheduled(kNow)}, .containers = {creating}};
  EXPECT_EQ(stuck(pod, kNow + 600), "");
  EXPECT_EQ(stuck(pod, kNow + 601), "shop/p (ContainerCreating)");
  EXPECT_EQ(stuck({.conditions = {scheduled(ago(11))}, .phase = "Running"}), "");
}

TEST(PodChecks, APodThatNoSchedulerHandlesIsStuck) {
  EXPECT_EQ(stuck({.created = ago(11)}), "shop/p (Pending)");
  EXPECT_EQ(stuck({.created = ago(9)}), "");
  EXPECT_EQ(stuck({.phase = "Running"}), "");
  const auto waits_for = [](std::string_view reason) {
    return stuck({.conditions = {condition("PodScheduled", "False", ago(11), reason)}});
  };
  EXPECT_EQ(waits_for("SchedulerError"), "shop/p (Pending)");
  EXPECT_EQ(waits_for("Unschedulable"), "") << "a check of its own";
  EXPECT_EQ(waits_for("SchedulingGated"), "") << "deliberate";
}

TEST(PodChecks, APodThatDoesNotTerminateIsStuck) {
  EXPECT_EQ(stuck({.phase = "Running", .deleted = ago(11)}), "shop/p (Terminating)");
  EXPECT_EQ(stuck({.phase = "Succeeded", .deleted = ago(11)}), "shop/p (Terminating)");
  EXPECT_EQ(stuck({.phase = "Running", .deleted = ago(9)}), "");
  EXPECT_EQ(stuck({.deleted = ago(-30)}), "") << "the grace period has not ended";
}

TEST(PodChecks, APodWithAnotherFaultIsNotStuck) {
  const std::vector<Message> conditions = {scheduled(ago(11))};
  EXPECT_EQ(stuck({.conditions = conditions, .containers = {waiting("ImagePullBackOff")}}), "");
  EXPECT_EQ(stuck({.conditions = conditions,
                   .containers = {waiting("PodInitializing"), waiting("CrashLoopBackOff")}}),
            "");
}

TEST(PodChecks, APodThatStartsAgainIsStuckFromThatTime) {
  const auto restarted = [](std::int64_t minutes) {
    return stuck({.conditions = {scheduled(ago(5000)), condition("Ready", "False", ago(minutes))},
                  .containers = {waiting("PodInitializing")}});
  };
  EXPECT_EQ(restarted(9), "");
  EXPECT_EQ(restarted(11), "shop/p (PodInitializing)");
}

}  // namespace
}  // namespace vitalsd::kubernetes
