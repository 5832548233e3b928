// Kind pod against a scripted API server.
#include <chrono>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using test::http_answer;
using test::http_stream;
using test::http_stream_end;
using test::HttpScript;
using test::Message;

net::kubernetes::Timeouts short_delays() {
  net::kubernetes::Timeouts delays;
  delays.min_delay = delays.max_delay = 1ms;
  delays.stale = 150ms;
  delays.expired = 300ms;
  return delays;
}

Message crash_looping(std::string_view namespace_name) {
  const Message waiting = Message().message(1, Message().text(1, "CrashLoopBackOff"));
  return Message()
      .message(1, test::metadata("p", namespace_name))
      .message(3,
               Message().text(1, "Running").message(8, Message().text(1, "c").message(2, waiting)));
}

// A failed pod whose only container `c` has these states.
Message pod_of(const Message& state, const Message& last_state = {}) {
  return Message()
      .message(1, test::metadata("p", "a"))
      .message(3, Message()
                      .text(1, "Failed")
                      .message(8, Message().text(1, "c").message(2, state).message(3, last_state)));
}

Message terminated(std::string_view reason, std::chrono::seconds ago) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const auto then = std::chrono::duration_cast<std::chrono::seconds>(now - ago).count();
  return Message().message(3, Message().number(1, 137).text(3, reason).time(6, then));
}

class PodTest : public testing::Test {
 protected:
  PodTest() {
    fixture.services.kubernetes.set_access(
        {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())),
         .context = ""});
  }

  // Lists one pod in each namespace. Watches end immediately and restart, so their data stay fresh;
  // those of `silent_namespace` stay open without events.
  HttpScript::Reply answer(const std::string& target) {
    if (target.contains("sendInitialEvents")) return {http_answer(400, "not known")};
    const bool silent = !silent_namespace.empty() && target.contains(silent_namespace);
    if (target.contains("watch=1")) {
      return silent ? HttpScript::Reply{http_stream(), true}
                    : HttpScript::Reply{http_stream() + http_stream_end()};
    }
    if (listed) return {http_answer(200, test::kubernetes_list({*listed}, 7))};
    const std::string_view in = target.contains("/namespaces/b/") ? "b" : "a";
    return {http_answer(200, test::kubernetes_list({crash_looping(in)}, 7))};
  }

  std::string silent_namespace;
  std::optional<Message> listed;  // replaces the listed pod
  test::TempDirectory scratch;
  test::ProbeFixture fixture{short_delays()};
  HttpScript server{fixture.loop, [this](const std::string& target) { return answer(target); }};
};

TEST_F(PodTest, ChecksDoNotOutliveTheirReadings) {
  silent_namespace = "/pods";
  const auto probe = fixture.make("pod", "checks: {}");
  EXPECT_EQ(fixture.observe(*probe).reading("crash_looping", "a/p (c)"), 1);
  EXPECT_TRUE(fixture.until([&] {
    const test::Observation run = fixture.observe(*probe);
    return run.count("kube_pod_status_phase") == 0 && run.reason() == "timeout" &&
           !run.reading("crash_looping", "a/p (c)") && !run.reading("crash_looping");
  }));
}

TEST_F(PodTest, ChecksCoverFreshNamespacesOnly) {
  silent_namespace = "/namespaces/b/";
  const auto probe = fixture.make("pod", "namespaces: [a, b]");
  EXPECT_EQ(fixture.observe(*probe).reading("crash_looping", "a/p (c), b/p (c)"), 2);
  EXPECT_TRUE(fixture.until([&] {
    const test::Observation run = fixture.observe(*probe);
    return run.count("kube_pod_status_phase") == 1 &&
           run.failure("pods in b").contains("no data received") &&
           run.failure("pods in a").empty() && run.reading("crash_looping", "a/p (c)") == 1;
  }));
}

// With restartPolicy Never, such as in Jobs, no instance follows the killed one.
TEST_F(PodTest, CountsOomKillsWithoutRestart) {
  struct Case {
    Message pod;
    double killed;
  };
  const Message running = Message().message(2, Message());
  const std::vector<Case> cases = {
      {pod_of(terminated("OOMKilled", 1min)), 1},
      {pod_of(terminated("OOMKilled", 2h)), 0},
      {pod_of(terminated("Error", 1min)), 0},
      {pod_of(running, terminated("OOMKilled", 1min)), 1},
      {pod_of(running, terminated("OOMKilled", 2h)), 0},
      {pod_of(terminated("OOMKilled", 1min), terminated("OOMKilled", 2min)), 1},
      {pod_of(terminated("Error", 1min), terminated("OOMKilled", 2min)), 1},
  };
  for (const auto& [pod, killed] : cases) {
    listed = pod;
    test::ProbeFixture another;
    const HttpScript other_server(another.loop,
                                  [this](const std::string& target) { return answer(target); });
    another.services.kubernetes.set_access(
        {.kubeconfig = scratch.file("another", test::kubeconfig_of(other_server.url())),
         .context = ""});
    const test::Observation run = another.observe("pod", "checks: {}");
    EXPECT_EQ(run.failure(), "");
    EXPECT_EQ(run.reading("oom_killed", killed > 0 ? "a/p (c)" : ""), killed);
  }
}

}  // namespace
}  // namespace vitalsd
