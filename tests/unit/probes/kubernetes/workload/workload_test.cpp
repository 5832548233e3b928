// Kind workload against a scripted API server.
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

// The namespace may have only objects of the resource that cannot be read.
TEST(WorkloadTest, WaitsForAllResourcesBeforeANamespaceMatchesNothing) {
  test::ProbeFixture fixture;
  const test::TempDirectory scratch;
  const HttpScript server(fixture.loop, [](const std::string& target) -> HttpScript::Reply {
    if (target.contains("/daemonsets")) return {http_answer(403, "no")};
    if (target.contains("sendInitialEvents")) return {http_answer(400, "no")};
    if (target.contains("watch=1")) return {test::http_stream(), true};
    return {http_answer(200, test::kubernetes_list({}, 7))};
  });
  fixture.services.kubernetes.set_access(
      {.kubeconfig = scratch.file("kubeconfig", test::kubeconfig_of(server.url())), .context = ""});
  const auto probe =
      fixture.make("workload", "namespaces: [shop], resources: [deployments, daemonsets]");
  const auto selected = [](const test::Observation& run) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", "shop"}});
  };
  for (std::size_t i = 1; i < kubernetes::Selection::kMaxPendingRuns; ++i) {
    EXPECT_EQ(selected(fixture.observe(*probe)), std::nullopt) << "run " << i;
  }
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(selected(run), 0);
  EXPECT_EQ(run.reading("unmatched", "shop (matches nothing; 1 of 2 could not be read)"), 1);
}

}  // namespace
}  // namespace vitalsd
