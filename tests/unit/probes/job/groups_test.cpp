#include "probes/job/groups.hpp"

#include <exception>
#include <string>
#include <string_view>

#include <boost/json/parse.hpp>
#include <boost/json/serialize.hpp>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::job {
namespace {

using Replace = Groups::Replace;
using testing::HasSubstr;
using testing::Not;

class GroupsTest : public testing::Test {
 protected:
  GroupsTest() {
    declared.declare("backup_last_success_timestamp_seconds", Type::gauge);
    declared.declare("push_time_seconds", Type::gauge);
    declared.declare("vitalsd_up", Type::gauge);
  }

  // The refusal; empty if the push was accepted.
  std::string push(std::string_view body, const GroupLabels& labels = {},
                   Replace replace = Replace::families) {
    auto accepted = groups.push(labels, body, replace, declared, now);
    if (!accepted) return std::to_string(accepted.error().status) + ' ' + accepted.error().text;
    last = *accepted;
    return "";
  }
  [[nodiscard]] std::string page() const { return groups.page(); }
  // The page without the times.
  [[nodiscard]] std::string pushed() const {
    const std::string text = page();
    const std::string last_time = "push_failure_time_seconds{";
    std::size_t at = text.rfind(last_time);
    if (at == std::string::npos) return text;
    return text.substr(text.find('\n', at) + 1);
  }

  ForeignFamilies declared;
  Groups groups{"nightly"};
  Groups::Accepted last;
  double now = 1000;
};

TEST_F(GroupsTest, APushIsOnThePageWithTheLabelsOfItsGroup) {
  EXPECT_EQ(push("# HELP rows Rows \\\\ \\n written.\n# TYPE rows gauge\nrows{t=\"a\"} 3\nrows 4\n",
                 {{"zone", "x\"y"}}),
            "");
  EXPECT_EQ(last.series, 2U);
  EXPECT_EQ(pushed(),
            "# HELP rows Rows \\\\ \\n written.\n# TYPE rows gauge\n"
            "rows{job=\"nightly\",zone=\"x\\\"y\",instance=\"nightly\",t=\"a\"} 3\n"
            "rows{job=\"nightly\",zone=\"x\\\"y\",instance=\"nightly\"} 4\n");
  EXPECT_THAT(page(), HasSubstr("\npush_time_seconds{job=\"nightly\",zone=\"x\\\"y\","
                                "instance=\"nightly\"} 1000\n"));
  EXPECT_THAT(page(), HasSubstr("\npush_failure_time_seconds{job=\"nightly\",zone=\"x\\\"y\","
                                "instance=\"nightly\"} 0\n"));
}

TEST_F(GroupsTest, AnEmptyPageWithoutGroups) { EXPECT_EQ(page(), ""); }

TEST_F(GroupsTest, PostReplacesFamiliesAndPutReplacesTheGroup) {
  push("a{x=\"1\"} 1\nb 1\n");
  push("a{x=\"2\"} 2\n");
  EXPECT_THAT(pushed(), HasSubstr("x=\"2\"} 2\n"));
  EXPECT_THAT(pushed(), Not(HasSubstr("x=\"1\"")));
  EXPECT_THAT(pushed(), HasSubstr("b{"));
  push("c 1\n", {}, Replace::group);
  EXPECT_EQ(pushed(), "# TYPE c unknown\nc{job=\"nightly\",instance=\"nightly\"} 1\n");
  push("", {}, Replace::group);  // as with a Pushgateway, the group stays
  EXPECT_EQ(pushed(), "");
  EXPECT_EQ(groups.size(), 1U);
}

TEST_F(GroupsTest, GroupsAreSeparate) {
  push("a 1\n");
  push("a 2\n", {{"host", "h1"}});
  push("a 3\n", {{"host", "h2"}}, Replace::group);
  EXPECT_EQ(pushed(),
            "# TYPE a unknown\na{job=\"nightly\",instance=\"nightly\"} 1\n"
            "a{job=\"nightly\",host=\"h1\",instance=\"nightly\"} 2\n"
            "a{job=\"nightly\",host=\"h2\",instance=\"nightly\"} 3\n");
  groups.remove({{"host", "h1"}});
  groups.remove({{"host", "none"}});
  EXPECT_THAT(page(), Not(HasSubstr("h1")));
  EXPECT_EQ(groups.size(), 2U);
}

TEST_F(GroupsTest, InstanceIsThatOfTheGroupOrTheBodyOrTheJob) {
  push("a 1\n", {{"instance", "db:5432"}});
  EXPECT_EQ(pushed(), "# TYPE a unknown\na{job=\"nightly\",instance=\"db:5432\"} 1\n");
  groups.clear();
  push("a{instance=\"i\"} 1\n");
  EXPECT_EQ(pushed(), "# TYPE a unknown\na{job=\"nightly\",instance=\"i\"} 1\n");
  groups.clear();
  push("a{db_instance=\"i\"} 1\n", {{"instance", "nightly"}});
  EXPECT_EQ(push("a{db_instance=\"i\"} 2\n"), "");  // the same group
  EXPECT_EQ(pushed(),
            "# TYPE a unknown\na{job=\"nightly\",instance=\"nightly\",db_instance=\"i\"} 2\n");
  EXPECT_EQ(groups.size(), 1U);
}

TEST_F(GroupsTest, ALabelOfTheGroupRenamesThatOfTheBody) {
  EXPECT_EQ(push("a{job=\"other\",host=\"h2\"} 1\n", {{"host", "h1"}}), "");
  EXPECT_EQ(pushed(),
            "# TYPE a unknown\na{job=\"nightly\",host=\"h1\",instance=\"nightly\","
            "exported_job=\"other\",exported_host=\"h2\"} 1\n");
}

TEST_F(GroupsTest, NamesOfVitalsdAreNotPublished) {
  EXPECT_EQ(push("backup_last_success_timestamp_seconds 7\nrows 1\nup 1\n"
                 "push_time_seconds 1\nvitalsd_up 1\n"),
            "");
  EXPECT_EQ(last.declared, (std::vector<std::string>{"backup_last_success_timestamp_seconds",
                                                     "push_time_seconds", "vitalsd_up"}));
  EXPECT_EQ(last.declared_series, 3U);
  EXPECT_EQ(last.series, 2U);
  EXPECT_THAT(pushed(), Not(HasSubstr("backup")));
  EXPECT_THAT(pushed(), HasSubstr("exported_up{"));
}

TEST_F(GroupsTest, AReservedNameAndItsExportedNameAreOneFamily) {
  EXPECT_EQ(push("up{a=\"1\"} 1\nexported_up{a=\"2\"} 2\n"), "");
  EXPECT_THAT(pushed(), HasSubstr("a=\"1\"} 1\n"));
  EXPECT_THAT(pushed(), HasSubstr("a=\"2\"} 2\n"));
  EXPECT_EQ(push("up 1\nexported_up 2\n"), "400 Line 2 repeats a series of an earlier line.\n");
}

// ---- what is refused ----------------------------------------------------------------------------

TEST_F(GroupsTest, AnInvalidPushChangesNothing) {
  push("a 1\n");
  const std::string before = page();
  for (const auto& [body, refusal] : std::vector<std::pair<std::string, std::string>>{
           {"a 2\nb c d\n", "400 Line 2 is not valid in the Prometheus text format 0.0.4.\n"},
           {"a 2", "400 The last line has no newline: the body may be truncated.\n"},
           {"\n\na{l=\"x} 1\n", "400 Line 3 is not valid in the Prometheus text format 0.0.4.\n"},
           {"a 2\na 3\n", "400 Line 2 repeats a series of an earlier line.\n"},
           {"a{x=\"1\",x=\"2\"} 2\n",
            "400 Line 1 is not valid in the Prometheus text format "
            "0.0.4.\n"},
           {"# TYPE a gauge\n# TYPE a counter\na 1\n",
            "400 Line 2 is not valid in the Prometheus text format 0.0.4.\n"},
           {std::string("a 2\nb\0 3\n", 9),
            "400 Line 2 is not valid in the Prometheus text format "
            "0.0.4.\n"},
           {"a{l=\"" + std::string(1 << 20, 'x') + "\"} 1\n",
            "400 Line 1 is not valid in the Prometheus text format 0.0.4.\n"},
           {"a 2 1700000000000\n",
            "400 The body has timestamps: remove them. A series has the "
            "time of the scrape.\n"},
       }) {
    EXPECT_EQ(push(body, {{"new", "group"}}), refusal) << body.substr(0, 100);
    EXPECT_EQ(page(), before);
  }
}

// The family would be published as unknown, and a correct push to another group would then be
// inconsistent with it.
TEST_F(GroupsTest, AFamilyMustSatisfyTheRulesOfItsType) {
  const std::string kOrdered =
      " is not a valid histogram: the le of the buckets increases up to +Inf, their counts do not "
      "decrease, and there are both _sum and _count, or neither.\n";
  for (const auto& [body, refusal] : std::vector<std::pair<std::string, std::string>>{
           {"# TYPE h histogram\nh_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count "
            "1\n",
            "'h'" + kOrdered},
           {"# TYPE h histogram\nh_bucket{le=\"1\"} 3\n", "'h'" + kOrdered},
           {"# TYPE h histogram\nh_bucket{le=\"+Inf\"} 3\nh_count 3\n", "'h'" + kOrdered},
           {"a 1\n# TYPE c_total counter\nc_total -1\n",
            "'c_total' is not a valid counter: a counter is not negative.\n"},
           {"# TYPE s summary\ns{quantile=\"2\"} 1\n",
            "'s' is not a valid summary: each line has a quantile from 0 to 1, or is _sum or "
            "_count.\n"},
       }) {
    EXPECT_EQ(push(body), "400 The family " + refusal);
  }
  EXPECT_EQ(push("# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 0\ns_count 0\n"), "");
}

TEST_F(GroupsTest, TellsThatACountWasReplaced) {
  EXPECT_EQ(push("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 1\n"), "");
  EXPECT_EQ(last.replaced_counts, 1U);
  EXPECT_THAT(pushed(), HasSubstr("h_count{job=\"nightly\",instance=\"nightly\"} 2\n"));
  EXPECT_EQ(push("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n"), "");
  EXPECT_EQ(last.replaced_counts, 0U);
}

TEST_F(GroupsTest, GroupsMustBeConsistent) {
  EXPECT_EQ(push("# TYPE a counter\na 1\n", {{"host", "h1"}}), "");
  EXPECT_EQ(push("# TYPE a gauge\na 1\n", {{"host", "h2"}}),
            "400 The family 'a' has two types in the groups of the job: counter and gauge.\n");
  EXPECT_EQ(push("# TYPE a gauge\na 1\n", {{"host", "h1"}}), "");  // it replaces the counter
  EXPECT_EQ(push("a{host=\"h1\"} 1\n"),
            "400 The family 'a' has two types in the groups of the job: unknown and gauge.\n");
  EXPECT_EQ(push("# TYPE a gauge\na{host=\"h1\"} 1\n"),
            "400 Another group of the job has a series of the family 'a' with the same labels.\n");
  EXPECT_EQ(push("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"), "");
  EXPECT_EQ(push("h_count 1\n", {{"host", "h2"}}),
            "400 The family 'h' has samples with the name of another family.\n");
}

// The size is checked before the labels of the group are written into each line.
TEST_F(GroupsTest, LongLabelsOfManyLinesAreRefusedBeforeTheyAreWritten) {
  std::string body;
  for (int i = 0; i < 5000; ++i) body += "m{i=\"" + std::to_string(i) + "\"} 1\n";
  EXPECT_THAT(push(body, {{"a", std::string(1000, 'x')}}), HasSubstr("413 The groups of the job"));
  EXPECT_EQ(push(body, {{"a", "x"}}), "");
}

TEST_F(GroupsTest, AnInstanceInACommentIsNoLabel) {
  EXPECT_EQ(push("# HELP m of {instance=\"x\"}\n# TYPE m gauge\nm 1\n"), "");
  EXPECT_EQ(
      pushed(),
      "# HELP m of {instance=\"x\"}\n# TYPE m gauge\nm{job=\"nightly\",instance=\"nightly\"} 1\n");
}

TEST_F(GroupsTest, CarriageReturnsBeforeNewlinesAreAccepted) {
  EXPECT_EQ(push("# TYPE a gauge\r\na 1\r\n"), "");
  EXPECT_EQ(pushed(), "# TYPE a gauge\na{job=\"nightly\",instance=\"nightly\"} 1\n");
}

TEST_F(GroupsTest, EverythingIsBounded) {
  std::string body;
  for (std::size_t i = 0; i <= Groups::kMaxSeries; ++i)
    body += "a{i=\"" + std::to_string(i) + "\"} 1\n";
  EXPECT_THAT(push(body), HasSubstr("413 The groups of the job have more than 10000 series"));
  body.clear();
  for (int i = 0; i < 20; ++i)
    body += "a" + std::to_string(i) + "{l=\"" + std::string(60'000, 'x') + "\"} 1\n";
  EXPECT_THAT(push(body), HasSubstr("413 The groups of the job have more than 1048576 bytes"));
  EXPECT_EQ(groups.size(), 0U);
  for (int i = 0; i < 1'100; ++i) groups.refused({{"i", std::to_string(i)}}, now);
  EXPECT_EQ(groups.size(), Groups::kMaxGroups);
  EXPECT_THAT(push("a 1\n"), HasSubstr("413 The job has 1000 groups, which is the limit"));
  EXPECT_EQ(push("a 1\n", {{"i", "7"}}), "");
}

// ---- time ---------------------------------------------------------------------------------------

TEST_F(GroupsTest, AGroupExpires) {
  push("a 1\n");
  now = 1050;
  push("a 1\n", {{"host", "h"}});
  EXPECT_FALSE(groups.expire(1100, 100));
  EXPECT_TRUE(groups.expire(1101, 100));
  EXPECT_EQ(groups.size(), 1U);
  EXPECT_FALSE(groups.expire(1101, 100));
  EXPECT_TRUE(groups.expire(2000, 100));
  EXPECT_EQ(page(), "");
}

// A failing job must not prolong the metrics of its last successful run.
TEST_F(GroupsTest, ARefusedPushDoesNotProlongItsGroup) {
  push("a 1\n");
  groups.refused({}, 1090);
  EXPECT_TRUE(groups.expire(1101, 100));
  EXPECT_EQ(pushed(), "");
  EXPECT_THAT(page(), HasSubstr("push_failure_time_seconds{job=\"nightly\","
                                "instance=\"nightly\"} 1090\n"));
  EXPECT_TRUE(groups.expire(1191, 100));
  EXPECT_EQ(page(), "");
}

TEST_F(GroupsTest, AGroupExpiresAfterTheClockWasSetBack) {
  push("a 1\n");
  EXPECT_TRUE(groups.expire(500, 100));
  EXPECT_THAT(page(), HasSubstr("push_time_seconds{job=\"nightly\",instance=\"nightly\"} 500\n"));
  EXPECT_TRUE(groups.expire(601, 100));
}

// ---- copies -------------------------------------------------------------------------------------

TEST_F(GroupsTest, ACopyChangesIndependently) {
  push("a 1\n");
  Groups copy = groups;
  push("a 2\n");
  EXPECT_THAT(copy.page(), HasSubstr("} 1\n"));
  EXPECT_THAT(page(), HasSubstr("} 2\n"));
  copy.clear();
  EXPECT_EQ(groups.size(), 1U);
}

TEST_F(GroupsTest, AChangeIsRenderedAtOnceWithTheLabelsOfTheLastTime) {
  const std::string labels = R"(probe="p",zone="z")";
  Groups copy = groups;
  copy.render(labels);
  groups.share_rendering(copy);
  push("a 1\n");
  ASSERT_TRUE(groups.is_rendered(groups, labels));
  EXPECT_EQ(groups.render(labels).families->back().lines,
            "a{probe=\"p\",zone=\"z\",job=\"nightly\",instance=\"nightly\"} 1\n");
  EXPECT_FALSE(copy.is_rendered(groups, labels));
  groups.refused({{"b", "1"}}, now);
  EXPECT_TRUE(groups.is_rendered(groups, labels));
  groups.remove({});
  EXPECT_FALSE(groups.is_rendered(groups, labels));
}

// ---- notes --------------------------------------------------------------------------------------

TEST_F(GroupsTest, SurvivesARestart) {
  push("# HELP a \"A\"\\n\n# TYPE a counter\na 1\nb{x=\"\\\"\\\\\\n\"} 2\n", {{"z", "ü/\"\\"}});
  push("# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 1\nh_count 2\n");
  groups.refused({{"z", "1"}}, 1010);
  const std::string saved = boost::json::serialize(groups.to_json());
  Groups next{"nightly"};
  next.restore(boost::json::parse(saved));
  EXPECT_EQ(next.page(), page());
  EXPECT_EQ(boost::json::serialize(next.to_json()), saved);
}

TEST_F(GroupsTest, RefusesNotesThatItCannotRead) {
  push("a 1\n");
  const std::string saved = boost::json::serialize(groups.to_json());
  for (const auto& [from, to] : std::vector<std::pair<std::string, std::string>>{
           {"\"pushed\":\"1000\"", "\"pushed\":-1"},
           {"\"pushed\":\"1000\"", "\"pushed\":\"x\""},
           {"\"pushed\":\"1000\"", "\"pushed\":\"1e99\""},
           {"} 1\\n", "} one\\n"},
           {"\"lines\":", "\"line\":"}}) {
    std::string damaged = saved;
    ASSERT_NE(damaged.find(from), std::string::npos) << saved;
    damaged.replace(damaged.find(from), from.size(), to);
    Groups next{"nightly"};
    EXPECT_THROW(next.restore(boost::json::parse(damaged)), std::exception) << damaged;
    EXPECT_EQ(next.page(), "");
  }
}

}  // namespace
}  // namespace vitalsd::job
