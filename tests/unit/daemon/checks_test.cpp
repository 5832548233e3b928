#include "daemon/checks.hpp"

#include <array>
#include <optional>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

constexpr Check kAge{
    .name = "age", .unit = Unit::seconds, .warn = 60, .critical = 120, .help = "age of it"};
constexpr Check kHits{.name = "hits",
                      .unit = Unit::ratio,
                      .worse = Worse::below,
                      .warn = 0.8,
                      .critical = {},
                      .help = "hit rate"};
constexpr Check kOwn{.name = "own", .warn = 3, .critical = {}, .help = "of the probe"};
constexpr Check kFigure{.name = "figure", .warn = {}, .critical = {}, .help = "of the probe"};
constexpr Check kOpen{.name = "open", .warn = {}, .critical = {}, .help = "without thresholds"};
constexpr std::array<const Check*, 3> kDeclared = {&kAge, &kHits, &kOpen};

const std::vector<CheckSetting> kUnconfigured(3, Thresholds{});

std::vector<CheckResult> judge_all(const SampleSet& set,
                                   const std::vector<CheckSetting>& configured = kUnconfigured) {
  return judge_checks(set, kDeclared, configured);
}

TEST(JudgeChecks, ComparesReadingsWithDeclaredThresholds) {
  SampleSet set;
  set.check(kAge, 90);
  set.check(kHits, 0.9);
  const auto results = judge_all(set);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].status, Status::warning);
  EXPECT_EQ(results[1].status, Status::ok);
}

TEST(JudgeChecks, PrefersConfiguredThenProbeThenDeclaredThresholds) {
  SampleSet set;
  set.check(kAge, 100, "", {.warn = 200, .critical = 300});
  EXPECT_EQ(judge_all(set)[0].thresholds.warn, 200);
  EXPECT_EQ(judge_all(set)[0].status, Status::ok);

  std::vector<CheckSetting> configured = kUnconfigured;
  configured[0]->critical = 50;
  EXPECT_EQ(judge_all(set, configured)[0].thresholds.warn, 200);
  EXPECT_EQ(judge_all(set, configured)[0].thresholds.critical, 50);
  EXPECT_EQ(judge_all(set, configured)[0].status, Status::critical);
}

TEST(JudgeChecks, LeavesOutACheckThatIsOff) {
  SampleSet set;
  set.check(kAge, 200, "", {.warn = 1, .critical = 2});
  set.check(kHits, 0.9);
  std::vector<CheckSetting> configured = kUnconfigured;
  configured[0] = std::nullopt;
  const auto results = judge_all(set, configured);
  ASSERT_EQ(results.size(), 1U);
  EXPECT_EQ(results[0].check, &kHits);
}

TEST(JudgeChecks, ReportsTheWorstOfSeveralObjects) {
  SampleSet set;
  set.check(kAge, 10, "young");
  set.part("x").check(kAge, 130, "old");
  set.part("y").check(kAge, 200, "oldest");
  set.check(kHits, 0.7, "some");
  set.check(kHits, 0.2, "few");
  const auto results = judge_all(set);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].object, "oldest");
  EXPECT_EQ(results[0].status, Status::critical);
  EXPECT_EQ(results[1].object, "few");
}

TEST(JudgeChecks, PrefersTheWorseStatusToTheWorseReading) {
  SampleSet set;
  set.check(kAge, 1'000, "lenient", {.warn = 2'000, .critical = {}});
  set.check(kAge, 90, "strict", {.warn = 1, .critical = {}});
  EXPECT_EQ(judge_all(set)[0].object,
            "lenient");  // the declared critical threshold of 120 applies
  set.check(kAge, 150, "worse");
  EXPECT_EQ(judge_all(set)[0].status, Status::critical);
}

TEST(JudgeChecks, IgnoresDeclaredChecksWithoutThresholds) {
  SampleSet set;
  set.check(kOpen, 5);
  EXPECT_TRUE(judge_all(set).empty());
}

TEST(JudgeChecks, ReportsChecksOfTheProbe) {
  SampleSet set;
  set.check(kOwn, 5);
  set.part("x").check(kFigure, 7);
  const auto results = judge_all(set);
  ASSERT_EQ(results.size(), 2U);
  EXPECT_EQ(results[0].status, Status::warning);
  EXPECT_EQ(results[1].status, Status::ok);
  EXPECT_EQ(to_views(results)[1].name, "figure");
  EXPECT_EQ(to_views(results)[1].threshold, "");
}

TEST(ToViews, FormatsReadingsAndThresholds) {
  SampleSet set;
  set.check(kAge, 150, "main");
  const auto views = to_views(judge_all(set));
  ASSERT_EQ(views.size(), 1U);
  EXPECT_EQ(views[0].name, "age");
  EXPECT_EQ(views[0].object, "main");
  EXPECT_EQ(views[0].reading, "2m 30s");
  EXPECT_EQ(views[0].threshold, "critical above 2m");
  EXPECT_EQ(views[0].status, Status::critical);
}

TEST(JudgeChecks, RemovesControlCharactersAndSecretsFromObjects) {
  SampleSet set;
  set.conceal("hunter22");
  set.check(kAge, 150, "\x1b]0;fine\x07 \u202ebad \xc2\x9b" + std::string(1'000, 'x'));
  set.part("x").check(kHits, 0.2, "of hunter22");
  EXPECT_EQ(judge_all(set).at(1).object, "of ***");
  const std::string object = judge_all(set).at(0).object;
  EXPECT_TRUE(object.starts_with("\ufffd]0;fine\ufffd \ufffdbad \ufffdxxx")) << object;
  EXPECT_LT(object.size(), 510U);
}

}  // namespace
}  // namespace vitalsd
