// Kind logs against a scripted API server.
#include "probes/kubernetes/watch/selection.hpp"

#include <cstddef>
#include <optional>
#include <string>

#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include "unit/support/kubernetes_script.hpp"
#include "unit/support/temp_directory.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using test::http_answer;
using test::HttpScript;
using test::Message;

TEST(LogsTest, ReportsAContainerThatMatchesNothing) {
  test::ProbeFixture fixture;
  const test::TempDirectory scratch;
  const Message pod = Message()
                          .message(1, test::metadata("web-1"))
                          .message(3, Message().message(8, Message().text(1, "main")));
  const HttpScript server(fixture.loop, [&](const std::string& target) -> HttpScript::Reply {
    if (target.contains("sendInitialEvents")) return {http_answer(400, "no")};
    if (target.contains("watch=1")) return {test::http_stream(), true};
    return {http_answer(200, test::kubernetes_list({pod}, 7))};
  });
  fixture.services.kubernetes.set_access(
      {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())), .context = ""});
  const test::Observation run =
      fixture.observe("logs", "containers: [main, typo], patterns: [{name: errors, match: ERROR}]");
  EXPECT_EQ(run.failure(), "");
  const auto selected = [&](const std::string& container) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", "container " + container}});
  };
  EXPECT_EQ(selected("main"), 1);
  EXPECT_EQ(selected("typo"), 0);
  EXPECT_EQ(run.reading("unmatched", "container typo (matches nothing)"), 1);
}

TEST(LogsTest, ReportsAContainerThatMatchesNothingWhileANamespaceFails) {
  test::ProbeFixture fixture;
  const test::TempDirectory scratch;
  const HttpScript server(fixture.loop, [&](const std::string& target) -> HttpScript::Reply {
    if (target.contains("/forbidden/")) return {http_answer(403, "no")};
    if (target.contains("sendInitialEvents")) return {http_answer(400, "no")};
    if (target.contains("watch=1")) return {test::http_stream(), true};
    return {http_answer(200, test::kubernetes_list({}, 7))};
  });
  fixture.services.kubernetes.set_access(
      {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())), .context = ""});
  const auto probe = fixture.make("logs",
                                  "namespaces: [shop, forbidden], containers: [typo], patterns: "
                                  "[{name: errors, match: ERROR}]");
  const auto selected = [](const test::Observation& run) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", "container typo"}});
  };
  for (std::size_t i = 1; i < kubernetes::Selection::kMaxPendingRuns; ++i) {
    EXPECT_EQ(selected(fixture.observe(*probe)), std::nullopt) << "run " << i;
  }
  EXPECT_EQ(selected(fixture.observe(*probe)), 0);
}

}  // namespace
}  // namespace vitalsd
