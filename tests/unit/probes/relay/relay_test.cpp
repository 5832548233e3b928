#include "exporter/model/foreign.hpp"
#include "probes/kubernetes/watch/selection.hpp"
#include "probes/probe.hpp"
#include "probes/registry.hpp"

#include <algorithm>
#include <memory>
#include <optional>
#include <set>
#include <string>

#include "unit/support/http_script.hpp"
#include "unit/support/kinds.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

class RelayTest : public testing::Test {
 protected:
  [[nodiscard]] std::string options() const { return "url: '" + server.url() + "'"; }

  int status = 200;
  std::string page = "a 1\n";
  test::ProbeFixture fixture;
  test::HttpScript server{fixture.loop, [this](const std::string&) {
                            return test::HttpScript::Reply{
                                test::http_answer(status, page, "Content-Type: text/plain\r\n")};
                          }};
};

// A relayed line has the labels of the lines that the probe itself publishes, so it must have
// another name.
TEST_F(RelayTest, NoRelayedLineIsOneOfTheProbe) {
  const auto relay = std::ranges::find(probe_kinds(), "relay", &ProbeKind::name);
  for (const MetricInfo* metric : (*relay)->metrics) {
    EXPECT_TRUE(is_reserved_name(metric->name)) << metric->name;
  }
  page = "# TYPE relay_up gauge\nrelay_up 7\n";
  const test::Observation run = fixture.observe("relay", options());
  EXPECT_EQ(run.count("relay_up"), 1U);
  EXPECT_EQ(run.count("exported_relay_up"), 1U);
}

// Rules read series with a reserved name as facts about the probe that the label `probe` names.
TEST_F(RelayTest, NoRelayedLineIsAFactAboutAProbe) {
  const auto job = std::ranges::find(probe_kinds(), "job", &ProbeKind::name);
  // No rule reads these, and other programs have them too.
  const std::set<std::string_view> shared = {"job_runs_total", "push_time_seconds",
                                             "push_failure_time_seconds"};
  for (const MetricInfo* metric : (*job)->metrics) {
    EXPECT_EQ(is_reserved_name(metric->name), !shared.contains(metric->name)) << metric->name;
  }
  page = "probe_success 0\njob_overdue{check=\"x\"} 1\n# TYPE pg_up gauge\npg_up 0\n";
  const test::Observation run = fixture.observe("relay", options());
  EXPECT_EQ(run.count("probe_success") + run.count("job_overdue"), 0U);
  EXPECT_EQ(run.count("exported_probe_success"), 1U);
  EXPECT_EQ(run.count("exported_job_overdue"), 1U);
  EXPECT_EQ(run.count("pg_up"), 1U);
}

// The ledger frees the page of a target that fails. The probe must not keep it.
TEST_F(RelayTest, ProbeDoesNotOwnThePage) {
  const auto probe = fixture.make("relay", options());
  {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_EQ(run.count("a"), 1U);
    EXPECT_EQ(fixture.services.foreign.size(), 1U);
  }
  EXPECT_EQ(fixture.services.foreign.size(), 0U);
  page = "# TYPE a counter\na 1\n";  // the name and the type are no longer in use
  EXPECT_EQ(fixture.observe(*probe).count("a"), 1U);
}

TEST_F(RelayTest, ReportsAPatternThatMatchesNothing) {
  page = "# TYPE a histogram\na_bucket{le=\"+Inf\"} 1\na_sum 1\na_count 1\nab 1\n";
  const std::string keep = ", keep: ['a.*', 'ab', 'b.*'], drop: ['c.*']";
  const auto probe = fixture.make("relay", options() + keep);
  const auto selected = [](const test::Observation& run, const std::string& pattern) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", "keep " + pattern}});
  };
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(selected(run, "a.*"), 2);
  EXPECT_EQ(selected(run, "ab"), 1);
  EXPECT_EQ(selected(run, "b.*"), 0);
  EXPECT_EQ(run.reading("unmatched", "keep b.* (matches nothing)"), 1);
  status = 503;
  const test::Observation failed = fixture.observe(*probe);
  EXPECT_EQ(selected(failed, "ab"), 1);
  EXPECT_EQ(selected(failed, "b.*"), 0);
}

// The page that was never read may have the family, so the pattern is not judged at once.
TEST_F(RelayTest, ReportsAPatternThatMatchesNothingWhileATargetFails) {
  const test::HttpScript other(fixture.loop, [](const std::string&) {
    return test::HttpScript::Reply{test::http_answer(503, "")};
  });
  const auto probe = fixture.make(
      "relay", "urls: ['" + server.url() + "', '" + other.url() + "'], keep: [a, typo]");
  const auto selected = [](const test::Observation& run, const std::string& pattern) {
    return run.value("vitalsd_probe_selected_objects", {{"scope", "keep " + pattern}});
  };
  for (std::size_t i = 1; i < kubernetes::Selection::kMaxPendingRuns; ++i) {
    const test::Observation run = fixture.observe(*probe);
    EXPECT_EQ(selected(run, "a"), 1);
    EXPECT_EQ(selected(run, "typo"), std::nullopt) << "run " << i;
  }
  const test::Observation run = fixture.observe(*probe);
  EXPECT_EQ(selected(run, "typo"), 0);
  EXPECT_EQ(run.reading("unmatched", "keep typo (matches nothing; 1 of 2 could not be read)"), 1);
}

}  // namespace
}  // namespace vitalsd
