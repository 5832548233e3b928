// Kind pod beside an API server that answers by a script.
#include <chrono>
#include <string>
#include <string_view>

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

net::kubernetes::Patience impatient() {
  net::kubernetes::Patience less;
  less.least_delay = less.most_delay = 1ms;
  less.stale = 150ms;
  less.too_old = 300ms;
  return less;
}

Message crash_looping(std::string_view namespace_name) {
  const Message waiting = Message().message(1, Message().text(1, "CrashLoopBackOff"));
  return Message()
      .message(1, test::metadata("p", namespace_name))
      .message(3,
               Message().text(1, "Running").message(8, Message().text(1, "c").message(2, waiting)));
}

class PodTest : public testing::Test {
 protected:
  PodTest() {
    house.services.kubernetes.set_access(
        {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())),
         .context = ""});
  }

  // Lists one pod in each namespace. Watches end at once and are begun anew, so that something is
  // heard all the time, but for those of the silent.
  HttpScript::Reply answer(const std::string& target) {
    if (target.contains("sendInitialEvents")) return {http_answer(400, "not known")};
    const bool silent = !silent_namespace.empty() && target.contains(silent_namespace);
    if (target.contains("watch=1")) {
      return silent ? HttpScript::Reply{http_stream(), true}
                    : HttpScript::Reply{http_stream() + http_stream_end()};
    }
    const std::string_view in = target.contains("/namespaces/b/") ? "b" : "a";
    return {http_answer(200, test::kubernetes_list({crash_looping(in)}, 7))};
  }

  std::string silent_namespace;
  test::TempDirectory scratch;
  test::KindHouse house{impatient()};
  HttpScript server{house.loop, [this](const std::string& target) { return answer(target); }};
};

TEST_F(PodTest, VerdictsDoNotOutliveTheirReadings) {
  silent_namespace = "/pods";
  const auto probe = house.make("pod", "checks: {}");
  EXPECT_EQ(house.observe(*probe).reading("crash_looping", "a/p (c)"), 1);
  EXPECT_TRUE(house.until([&] {
    const test::Observation run = house.observe(*probe);
    return run.count("kube_pod_status_phase") == 0 && run.reason() == "timeout" &&
           !run.reading("crash_looping", "a/p (c)") && !run.reading("crash_looping");
  }));
}

TEST_F(PodTest, VerdictsAreOfTheNamespacesThatAreHeard) {
  silent_namespace = "/namespaces/b/";
  const auto probe = house.make("pod", "namespaces: [a, b]");
  EXPECT_EQ(house.observe(*probe).reading("crash_looping", "a/p (c), b/p (c)"), 2);
  EXPECT_TRUE(house.until([&] {
    const test::Observation run = house.observe(*probe);
    return run.count("kube_pod_status_phase") == 1 && run.failure("pods in b").contains("heard") &&
           run.failure("pods in a").empty() && run.reading("crash_looping", "a/p (c)") == 1;
  }));
}

}  // namespace
}  // namespace vitalsd
