// Which logs are followed, with a scripted API server.
#include <cstddef>
#include <string>
#include <utility>

#include "unit/net/kubernetes/scripted_cluster.hpp"
#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/memory.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>
#include <malloc.h>

namespace vitalsd {
namespace {

using net::kubernetes::scripted::event;
using test::http_answer;
using test::http_stream;
using test::HttpScript;
using test::Message;

// A pod whose container `c` runs.
Message running(const std::string& name) {
  const Message state = Message().message(2, Message().time(1, 1000));
  return Message()
      .message(1, test::metadata(name))
      .message(3,
               Message().text(1, "Running").message(8, Message().text(1, "c").message(2, state)));
}

std::size_t allocated_bytes() {
  const struct mallinfo2 info = mallinfo2();
  return info.uordblks + info.hblkhd;
}

class LogFollowerTest : public testing::Test {
 protected:
  LogFollowerTest() {
    fixture.services.kubernetes.set_access(
        {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())),
         .context = ""});
  }

  // Lists the pod `first`, whose log stays open and has `lines`, and sends `events` once.
  HttpScript::Reply answer(const std::string& target) {
    if (target.contains("/log?")) {
      if (target.contains("previous=")) return {http_answer(400, "there is no previous container")};
      if (!target.contains("follow=")) return {http_answer(200, lines)};
      return {http_stream() + (lines.empty() ? "" : test::http_piece(lines)), true};
    }
    if (target.contains("sendInitialEvents")) return {http_answer(400, "not known")};
    if (!target.contains("watch=1")) {
      return {http_answer(200, test::kubernetes_list({running("first")}, 7))};
    }
    if (events.empty()) return {http_stream(), true};
    return {http_stream() + test::http_piece(std::exchange(events, "")) + test::http_stream_end()};
  }

  // Runs the probe until this number of logs waits for a stream.
  [[nodiscard]] bool until_waiting(Probe& probe, double count) {
    return fixture.until([&] {
      return fixture.observe(probe).value("vitalsd_log_streams", {{"state", "waiting"}}) == count;
    });
  }

  std::string events;
  std::string lines;
  test::TempDirectory scratch;
  test::ProbeFixture fixture;
  HttpScript server{fixture.loop, [this](const std::string& target) { return answer(target); }};
};

// In a cluster with many short jobs, thousands of pods a day come and go without a stream.
TEST_F(LogFollowerTest, ForgetsPodsThatAreDeletedWhileTheyWait) {
  constexpr std::size_t kPods = 10'000;
  const std::string padding(200, 'x');
  const std::size_t before = allocated_bytes();
  for (std::size_t i = 0; i < kPods; ++i) {
    const Message pod = running("job-" + std::to_string(i) + padding);
    events += event("ADDED", pod) + event("DELETED", pod);
  }
  // Two pods wait only at the end.
  events += event("ADDED", running("last-1")) + event("ADDED", running("last-2"));
  const auto probe =
      fixture.make("logs", "patterns: [{name: any, match: .}], max_streams: 1, namespaces: [shop]");
  ASSERT_TRUE(until_waiting(*probe, 2));
  if (test::kIsSanitized) return;
  // The server may still have the events.
  EXPECT_TRUE(
      fixture.until([&] { return allocated_bytes() < before + kPods * padding.size() / 2; }));
}

// The same lines are read again when the stream begins, and count once.
TEST_F(LogFollowerTest, CountsLinesThatAreTruncated) {
  const std::string time = "2100-01-01T00:00:00.000000001Z ";
  lines = time + "short\n" + time + std::string(20'000, 'x') + '\n' + time + "short\n";
  const auto probe = fixture.make("logs", "patterns: [{name: any, match: .}], namespaces: [shop]");
  test::Observation run;
  ASSERT_TRUE(fixture.until([&] {
    run = fixture.observe(*probe);
    return run.value("vitalsd_log_read_bytes_total") >= 2.0 * static_cast<double>(lines.size());
  }));
  EXPECT_EQ(run.value("vitalsd_log_truncated_lines_total"), 1);
}

}  // namespace
}  // namespace vitalsd
