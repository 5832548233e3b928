#include "probes/page/page_reader.hpp"

#include "exporter/model/foreign.hpp"
#include "probes/error.hpp"

#include <algorithm>
#include <cstddef>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::page {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::string_view kLabels = R"(probe="p",instance="t:1")";

net::Pattern pattern(std::string_view text) {
  return config::Scalar<net::Pattern>::parse(text).value();
}

class PageReaderTest : public testing::Test {
 protected:
  // The lines of every family, after "TYPE name".
  std::vector<std::string> read(std::string_view page, bool openmetrics = false,
                                std::size_t piece = std::string_view::npos) {
    PageReader reader(rules, families, std::string(labels), openmetrics, previous);
    for (; !page.empty(); page.remove_prefix(std::min(piece, page.size()))) {
      reader.feed(page.substr(0, piece));
    }
    fragment = reader.finish();
    dropped = reader.dropped();
    std::vector<std::string> out;
    if (!fragment) return out;
    for (const FragmentFamily& family : *fragment) {
      out.push_back(std::string(type_name(family.metric->type)) + ' ' +
                    std::string(family.metric->name) + '\n' + std::string(family.lines));
    }
    return out;
  }
  std::vector<std::string> openmetrics(std::string_view page) {
    return read(std::string(page) + "# EOF\n", true);
  }
  // The lines of a page without TYPE lines.
  std::string lines(std::string_view page) {
    std::string out;
    for (const std::string& family : read(page)) out += family.substr(family.find('\n') + 1);
    return out;
  }
  [[nodiscard]] std::uint64_t count(Dropped reason) const { return dropped[reason]; }

  Rules rules;
  ForeignFamilies families;
  std::string_view labels = R"(i="x")";
  Fragment previous;
  Fragment fragment;
  DroppedLines dropped;
};

// ---- families -----------------------------------------------------------------------------------

TEST_F(PageReaderTest, ReadsTypesOfTheTextFormat) {
  const auto page = read(
      "# HELP a_total Text with \\\\ and \\n.\n# TYPE a_total counter\na_total 1\n"
      "# TYPE b gauge\nb{x=\"1\"} 2\n"
      "# TYPE c untyped\nc 3\n"
      "d 4\n"
      "# TYPE e counter\ne 5\n");
  EXPECT_THAT(page, ElementsAre("counter a_total\na_total{i=\"x\"} 1\n",
                                "gauge b\nb{i=\"x\",x=\"1\"} 2\n", "unknown c\nc{i=\"x\"} 3\n",
                                "unknown d\nd{i=\"x\"} 4\n", "counter e\ne{i=\"x\"} 5\n"));
  EXPECT_EQ(fragment->front().metric->help, "Text with \\ and \n.");
}

TEST_F(PageReaderTest, ReadsTypesOfOpenMetrics) {
  const auto page = openmetrics(
      "# TYPE a counter\n# UNIT a items\n# HELP a Help \\\"x\\\".\na_total 1\na_created 5\n"
      "# TYPE b info\nb_info{v=\"2\"} 1\n"
      "# TYPE c stateset\nc{c=\"on\"} 1\nc{c=\"off\"} 0\n"
      "# TYPE d gaugehistogram\nd_bucket{le=\"+Inf\"} 1\nd_gcount 1\nd_gsum 1\n"
      "# TYPE e unknown\ne 1\n");
  EXPECT_THAT(page,
              ElementsAre("counter a_total\na_total{i=\"x\"} 1\n",
                          "info b_info\nb_info{i=\"x\",v=\"2\"} 1\n",
                          "stateset c\nc{i=\"x\",c=\"on\"} 1\nc{i=\"x\",c=\"off\"} 0\n",
                          "unknown d_bucket\nd_bucket{i=\"x\",le=\"+Inf\"} 1\n",
                          "unknown d_gcount\nd_gcount{i=\"x\"} 1\n",
                          "unknown d_gsum\nd_gsum{i=\"x\"} 1\n", "unknown e\ne{i=\"x\"} 1\n"));
  EXPECT_EQ(fragment->front().metric->foreign_unit, "items");
  EXPECT_EQ(fragment->front().metric->help, "Help \"x\".");
}

TEST_F(PageReaderTest, ReadsAGaugeAndACounterThatDifferByTheirSuffix) {
  EXPECT_THAT(openmetrics("# HELP a Bytes in use.\n# TYPE a gauge\na 1\n"
                          "# HELP a Bytes ever.\n# TYPE a counter\na_total 2\n"),
              ElementsAre("gauge a\na{i=\"x\"} 1\n", "counter a_total\na_total{i=\"x\"} 2\n"));
  EXPECT_EQ((*fragment)[0].metric->help, "Bytes in use.");
  EXPECT_EQ((*fragment)[1].metric->help, "Bytes ever.");
  EXPECT_EQ(dropped, DroppedLines{});
}

TEST_F(PageReaderTest, ReadsHelpBeforeAndAfterTheType) {
  read(
      "# TYPE a gauge\n# HELP a After.\na 1\n# HELP b Without type.\nb 1\n"
      "# HELP c Before \\\"x\\\".\n# HELP d None.\n# TYPE c gauge\nc 1\nd 1\n");
  EXPECT_EQ((*fragment)[0].metric->help, "After.");
  EXPECT_EQ((*fragment)[1].metric->help, "Without type.");
  EXPECT_EQ((*fragment)[2].metric->help, "");  // the help of d is between the lines
  EXPECT_EQ((*fragment)[3].metric->help, "");
  fragment.reset();
  read("# HELP a Before \\\"x\\\".\n# TYPE a gauge\na 1\n");
  EXPECT_EQ((*fragment)[0].metric->help, "Before \\\"x\\\".");
}

TEST_F(PageReaderTest, KeepsHistogramsWholeAndInOrder) {
  EXPECT_THAT(read("# TYPE h histogram\n"
                   "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3.5\nh_count 2\n"
                   "other 1\n"
                   "h_bucket{a=\"b\",le=\"+Inf\"} 0\nh_sum{a=\"b\"} 0\nh_count{a=\"b\"} 0\n"),
              ElementsAre("histogram h\n"
                          "h_bucket{i=\"x\",le=\"1\"} 1\nh_bucket{i=\"x\",le=\"+Inf\"} 2\n"
                          "h_sum{i=\"x\"} 3.5\nh_count{i=\"x\"} 2\n"
                          "h_bucket{i=\"x\",a=\"b\",le=\"+Inf\"} 0\nh_sum{i=\"x\",a=\"b\"} 0\n"
                          "h_count{i=\"x\",a=\"b\"} 0\n",
                          "unknown other\nother{i=\"x\"} 1\n"));
  EXPECT_THAT(read("# TYPE s summary\ns{quantile=\"0.5\"} NaN\ns_sum 1\ns_count 2\n"),
              ElementsAre("summary s\ns{i=\"x\",quantile=\"0.5\"} NaN\ns_sum{i=\"x\"} 1\n"
                          "s_count{i=\"x\"} 2\n"));
}

// A target may count an event while it writes the page.
TEST_F(PageReaderTest, TheCountOfAHistogramIsItsLastBucket) {
  const std::string type = "# TYPE h histogram\n";
  for (const std::string_view other : {"9", "11", "12345678901", "10.5e1"}) {
    EXPECT_THAT(read(type + "h_count{a=\"1\"} " + std::string(other) +
                     "\nh_bucket{a=\"1\",le=\"1\"} 3\nh_bucket{a=\"1\",le=\"+Inf\"} 10\n"
                     "h_sum{a=\"1\"} 7\n"
                     "h_bucket{a=\"2\",le=\"+Inf\"} 4\nh_sum{a=\"2\"} 1\nh_count{a=\"2\"} 4.0\n"
                     "h_bucket{a=\"3\",le=\"+Inf\"} 8\nh_sum{a=\"3\"} 2\nh_count{a=\"3\"} 7\n"),
                ElementsAre("histogram h\nh_count{i=\"x\",a=\"1\"} 10\n"
                            "h_bucket{i=\"x\",a=\"1\",le=\"1\"} 3\n"
                            "h_bucket{i=\"x\",a=\"1\",le=\"+Inf\"} 10\nh_sum{i=\"x\",a=\"1\"} 7\n"
                            "h_bucket{i=\"x\",a=\"2\",le=\"+Inf\"} 4\nh_sum{i=\"x\",a=\"2\"} 1\n"
                            "h_count{i=\"x\",a=\"2\"} 4.0\n"
                            "h_bucket{i=\"x\",a=\"3\",le=\"+Inf\"} 8\nh_sum{i=\"x\",a=\"3\"} 2\n"
                            "h_count{i=\"x\",a=\"3\"} 8\n"))
        << other;
    EXPECT_EQ(count(Dropped::count), 2U);
  }
}

// A strict parser rejects the page for any of these.
TEST_F(PageReaderTest, InvalidHistogramsBecomeUnknown) {
  const std::string good = "h_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n";
  EXPECT_THAT(read("# TYPE h histogram\n" + good), ElementsAre(HasSubstr("histogram h\n")));
  fragment.reset();
  for (const std::string_view bad : {
           "h_bucket{le=\"1\"} 1\nh_sum 3\nh_count 1\n",                            // no +Inf
           "h_bucket{le=\"+Inf\"} 2\nh_count 2\n",                                  // no sum
           "h_bucket{le=\"+Inf\"} 2\nh_sum 2\n",                                    // no count
           "h_bucket{le=\"inf\"} 2\nh_sum 3\nh_count 2\n",                          // not canonical
           "h_bucket{le=\"x\"} 2\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",   // not a number
           "h_bucket 2\nh_sum 3\nh_count 2\n",                                      // no le
           "h_bucket{le=\"1\"} 3\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",   // decreases
           "h_bucket{le=\"2\"} 1\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 2\n"  // order
           "h_sum 3\nh_count 2\n",
           "h_bucket{le=\"-1\"} 1\nh_bucket{le=\"+Inf\"} 2\nh_sum 3\nh_count 2\n",  // negative
           "h_bucket{le=\"+Inf\"} 1.5\nh_sum 3\nh_count 1.5\n",                     // no number of
           "h_bucket{le=\"+Inf\"} 2\nh_sum NaN\nh_count 2\n",
           "h_bucket{le=\"+Inf\"} 2\nh_sum -1\nh_count 2\n",
           "h_bucket{a=\"1\",le=\"+Inf\"} 2\nh_bucket{a=\"2\",le=\"+Inf\"} 2\n"  // not adjacent
           "h_sum{a=\"1\"} 1\nh_count{a=\"1\"} 2\nh_sum{a=\"2\"} 1\nh_count{a=\"2\"} 2\n",
           "h_sum 3\nh_count 2\n",
       }) {
    const auto page = read("# TYPE h histogram\n" + std::string(bad));
    EXPECT_GE(page.size(), 2U) << bad;
    std::size_t lines = 0;
    for (const std::string& family : page) {
      EXPECT_THAT(family, testing::StartsWith("unknown h_")) << bad;
      lines += static_cast<std::size_t>(std::ranges::count(family, '\n')) - 1;
    }
    EXPECT_EQ(lines, static_cast<std::size_t>(std::ranges::count(bad, '\n')));
    fragment.reset();
  }
}

TEST_F(PageReaderTest, FamiliesThatViolateTheirTypeBecomeUnknown) {
  EXPECT_THAT(read("# TYPE a_total counter\na_total -1\n"), ElementsAre(HasSubstr("unknown ")));
  EXPECT_THAT(read("# TYPE b_total counter\nb_total NaN\n"), ElementsAre(HasSubstr("unknown ")));
  EXPECT_THAT(openmetrics("# TYPE c info\nc_info 2\n"), ElementsAre(HasSubstr("unknown c_info")));
  EXPECT_THAT(openmetrics("# TYPE d stateset\nd 1\n"), ElementsAre(HasSubstr("unknown d")));
  EXPECT_THAT(openmetrics("# TYPE e stateset\ne{e=\"a\"} 2\n"),
              ElementsAre(HasSubstr("unknown e")));
  EXPECT_THAT(read("# TYPE f summary\nf 2\n"), ElementsAre(HasSubstr("unknown f")));
  EXPECT_THAT(read("# TYPE g summary\ng{quantile=\"2\"} 2\n"), ElementsAre(HasSubstr("unknown g")));
  EXPECT_THAT(read("# TYPE k counter\nk -1\n"), ElementsAre(HasSubstr("counter k")));
}

TEST_F(PageReaderTest, DropsCreatedTimestampsAndExemplars) {
  EXPECT_THAT(read("# TYPE a_total counter\na_total 1 1700000000000\n"
                   "# TYPE a_created gauge\na_created 5\n"),
              ElementsAre("counter a_total\na_total{i=\"x\"} 1\n"));
  EXPECT_THAT(openmetrics("# TYPE h histogram\n"
                          "h_bucket{le=\"+Inf\"} 1 1.5 # {trace_id=\"}\"} 0.5 1.2\n"
                          "h_sum 1\nh_count 1 # {} 1\nh_created 3\n"),
              ElementsAre("histogram h\nh_bucket{i=\"x\",le=\"+Inf\"} 1\nh_sum{i=\"x\"} 1\n"
                          "h_count{i=\"x\"} 1\n"));
  EXPECT_EQ(dropped, DroppedLines{});
}

TEST_F(PageReaderTest, FirstTypeOfAPageStays) {
  EXPECT_THAT(
      read("# TYPE a gauge\na 1\n# TYPE a counter\na{b=\"c\"} 2\n# TYPE a gauge\n"
           "# TYPE b nonsense\n# TYPE c\n# TYPE\nb 1\n"),
      ElementsAre("gauge a\na{i=\"x\"} 1\na{i=\"x\",b=\"c\"} 2\n", "unknown b\nb{i=\"x\"} 1\n"));
  EXPECT_EQ(count(Dropped::invalid), 4U);
}

TEST_F(PageReaderTest, ClashesAreCountedByReason) {
  families.declare("pg_up", Type::gauge);
  const MetricRef other = families.intern({.name = "taken", .type = Type::gauge}).value();
  const MetricRef histogram = families.intern({.name = "h", .type = Type::histogram}).value();
  EXPECT_THAT(read("# TYPE taken counter\ntaken 1\ntaken{a=\"b\"} 1\nh_sum 1\n"
                   "# TYPE pg_up counter\npg_up 1\npg_up{a=\"b\"} 1\npg_up{a=\"c\"} 1\ngood 1\n"),
              ElementsAre("unknown good\ngood{i=\"x\"} 1\n"));
  EXPECT_EQ(count(Dropped::type), 2U);
  EXPECT_EQ(count(Dropped::name), 1U);
  EXPECT_EQ(count(Dropped::declared), 3U);
  EXPECT_EQ(dropped.text(), "2 type: taken; 1 name: h_sum; 3 declared: pg_up");
}

TEST_F(PageReaderTest, ReservedNamesAreExported) {
  EXPECT_THAT(read("up 1\n# TYPE vitalsd_lag_seconds histogram\n"
                   "vitalsd_lag_seconds_bucket{le=\"+Inf\"} 1\nvitalsd_lag_seconds_sum 1\n"
                   "vitalsd_lag_seconds_count 1\n"),
              ElementsAre("unknown exported_up\nexported_up{i=\"x\"} 1\n",
                          "histogram exported_vitalsd_lag_seconds\n"
                          "exported_vitalsd_lag_seconds_bucket{i=\"x\",le=\"+Inf\"} 1\n"
                          "exported_vitalsd_lag_seconds_sum{i=\"x\"} 1\n"
                          "exported_vitalsd_lag_seconds_count{i=\"x\"} 1\n"));
}

// ---- lines --------------------------------------------------------------------------------------

TEST_F(PageReaderTest, AcceptsTheSyntaxOfBothFormats) {
  EXPECT_EQ(lines("a{} 1\n"), "a{i=\"x\"} 1\n");
  EXPECT_EQ(lines("a{b=\"c\",} 1\n"), "a{i=\"x\",b=\"c\"} 1\n");
  EXPECT_EQ(lines(" \ta { b = \"c\" , d=\"e\" }\t1\t 5 \n"), "a{i=\"x\",b=\"c\",d=\"e\"} 1\n");
  EXPECT_EQ(lines("a{b=\"c\"}1\n"), "a{i=\"x\",b=\"c\"} 1\n");
  EXPECT_EQ(lines("a:b_9 1\n"), "a:b_9{i=\"x\"} 1\n");
  EXPECT_EQ(lines("a{b=\"} 9,\\\"x\\\\\\n\"} 1\n"), "a{i=\"x\",b=\"} 9,\\\"x\\\\\\n\"} 1\n");
  EXPECT_EQ(lines("a{b=\"\xc3\xa9\"} 1\n"), "a{i=\"x\",b=\"\xc3\xa9\"} 1\n");
  for (const std::string_view value :
       {"0", "-1", "+1", "1.5", ".5", "1.", "1e5", "-1.5E-10", "NaN", "nan", "+Inf", "-Inf", "inf",
        "Infinity", "1e308", "1e-999"}) {
    EXPECT_EQ(lines("a " + std::string(value) + "\n"), "a{i=\"x\"} " + std::string(value) + "\n");
  }
  EXPECT_EQ(lines("# a comment\n#\n\n  \n#TYPE a gauge\na 1"), "a{i=\"x\"} 1\n");
  EXPECT_EQ(lines("a 1\r\n# TYPE b gauge\r\nb 2\r\n"), "a{i=\"x\"} 1\nb{i=\"x\"} 2\n");
  EXPECT_EQ(dropped, DroppedLines{});
}

TEST_F(PageReaderTest, NoBlankOfALineIsPublished) {
  for (const std::string line :
       {"a{b =\"1\"} 1", "a{b= \"1\"} 1", "a{ b=\"1\"} 1", "a{b=\"1\" } 1", "a {b=\"1\"} 1",
        "a{b=\"1\"}1", "a{b=\"1\"}\t1", "a{b=\"1\"}  1 "}) {
    EXPECT_EQ(lines(line + '\n'), "a{i=\"x\",b=\"1\"} 1\n") << line;
  }
}

TEST_F(PageReaderTest, UnknownEscapeIsABackslash) {
  EXPECT_EQ(lines("a{path=\"C:\\dir\\new\",b=\"c\"} 1\n"),
            "a{i=\"x\",path=\"C:\\\\dir\\new\",b=\"c\"} 1\n");
}

TEST_F(PageReaderTest, QuotedNamesAreEscaped) {
  EXPECT_THAT(read("# HELP \"my.metric\" Help.\n# TYPE \"my.metric\" gauge\n"
                   "{\"my.metric\"} 1\n{\"my.metric\",\"a.b\"=\"c\",d=\"e\"} 2\n"),
              ElementsAre("gauge my_metric\nmy_metric{i=\"x\"} 1\n"
                          "my_metric{i=\"x\",a_b=\"c\",d=\"e\"} 2\n"));
  EXPECT_EQ(lines("{\"1\xc3\xa9 \\\"\"} 1\n"), "_1___{i=\"x\"} 1\n");
}

TEST_F(PageReaderTest, BadLineCostsItself) {
  const std::vector<std::string> bad = {"1a 1",
                                        "a",
                                        "a{",
                                        "a{b} 1",
                                        "a{b=c} 1",
                                        "a{b=\"c} 1",
                                        "a{b=\"c\" 1",
                                        "a{b=\"c\"d=\"e\"} 1",
                                        "a{,} 1",
                                        "a{b=\"c\",,} 1",
                                        "a{b=\"c\",b=\"d\"} 1",
                                        "a{b:c=\"d\"} 1",
                                        "{} 1",
                                        "{\"\"} 1",
                                        "a{\"b\"} 1",
                                        "{\"a\",\"b\"} 1",
                                        "a x",
                                        "a 1 x",
                                        "a 1 2 3",
                                        "a 0x10",
                                        "a 1_000",
                                        "a 1e",
                                        "a --1",
                                        "a +-1",
                                        "a .",
                                        "a 1,5",
                                        "a{b=\"\xff\"} 1",
                                        "a{b=\"\xc3\"} 1",
                                        "a-b 1",
                                        std::string("a{b=\"\0\"} 1", 11),
                                        "a 1 \r x",
                                        "a{b=\"c\\",
                                        "= 1",
                                        "\xc3\xa9 1",
                                        "a 1e999",
                                        "a -1e309",
                                        "a " + std::string(400, '9'),
                                        "a infinit",
                                        "a 1 NaNN"};
  for (const std::string& line : bad) {
    EXPECT_EQ(lines("x 1\n" + line + "\ny 2\n"), "x{i=\"x\"} 1\ny{i=\"x\"} 2\n") << line;
    EXPECT_EQ(count(Dropped::invalid), 1U) << line;
  }
}

TEST_F(PageReaderTest, LongLineCostsItself) {
  const std::string value(PageReader::kMaxLine, 'v');
  EXPECT_EQ(lines("x 1\na{b=\"" + value + value + "\"} 1\ny 2\n"), "x{i=\"x\"} 1\ny{i=\"x\"} 2\n");
  EXPECT_EQ(count(Dropped::invalid), 1U);
  EXPECT_EQ(lines("x 1\n" + value + value), "x{i=\"x\"} 1\n");
  EXPECT_EQ(count(Dropped::invalid), 1U);
}

TEST_F(PageReaderTest, LinesWithoutAFamilyAreNamedByTheirNumber) {
  read("x 1\n1 1\n\nx 2\n2 2\n# TYPE x\n3 3\n");
  EXPECT_EQ(dropped.text(), "4 invalid: line 2, line 5, line 6, …; 1 duplicate: x");
}

TEST_F(PageReaderTest, DuplicatesAreLeftOut) {
  EXPECT_EQ(lines("a{b=\"1\",c=\"2\"} 1\na{c=\"2\",b=\"1\"} 2\na{b=\"1\"} 3\na{b=\"1\"} 4 5\n"),
            "a{i=\"x\",b=\"1\",c=\"2\"} 1\na{i=\"x\",b=\"1\"} 3\n");
  EXPECT_EQ(count(Dropped::duplicate), 2U);
}

TEST_F(PageReaderTest, EmptyLabelIsNone) {
  EXPECT_EQ(lines("b 1\nb{z=\"\"} 2\nc{z=\"\",y=\"1\",probe=\"\"} 3\nc{y=\"1\"} 4\n"),
            "b{i=\"x\"} 1\nc{i=\"x\",y=\"1\"} 3\n");
  EXPECT_EQ(count(Dropped::duplicate), 2U);
}

// An incomplete histogram would be wrong, so it is left out completely.
TEST_F(PageReaderTest, HistogramBeyondTheLimitIsLeftOutWhole) {
  rules.max_series = 5;
  const std::string page =
      "a 1\n# TYPE h histogram\nh_bucket{le=\"1\"} 1\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\n"
      "h_count 1\n";
  EXPECT_THAT(read(page), testing::SizeIs(2));
  EXPECT_EQ(dropped, DroppedLines{});
  const std::string more = "h_bucket{x=\"y\",le=\"+Inf\"} 1\nb 1\n";
  EXPECT_THAT(read(page + more), ElementsAre("unknown a\na{i=\"x\"} 1\n"));
  EXPECT_EQ(count(Dropped::limit), 6U);
  rules.max_series = 2;
  EXPECT_THAT(read("# TYPE s summary\ns{quantile=\"1\"} 1\ns_sum 1\ns_count 2\n"), ElementsAre());
  EXPECT_EQ(count(Dropped::limit), 3U);
}

TEST_F(PageReaderTest, OwnPageIsRefused) {
  labels = kLabels;
  const std::string own = "relay_up{probe=\"p\",instance=\"t:1\"} 1\n";
  rules.keep.push_back(pattern("other"));  // this page would grow, too
  EXPECT_THROW(read(own), ProbeError);
  EXPECT_THAT(read("relay_up{probe=\"p\",instance=\"t:2\"} 1\nrelay_up 1\nother 1\n"),
              testing::SizeIs(1));
}

TEST_F(PageReaderTest, SeriesAreLimited) {
  rules.max_series = 2;
  EXPECT_EQ(lines("a 1\nb 1\nc 1\na{x=\"y\"} 1\n"), "a{i=\"x\"} 1\nb{i=\"x\"} 1\n");
  EXPECT_EQ(count(Dropped::limit), 2U);
}

TEST_F(PageReaderTest, FamiliesAreLimited) {
  std::string page;
  for (int i = 0; i < 12'000; ++i) page += "# TYPE a" + std::to_string(i) + " gauge\n";
  read(page + "a11999 1\na5 1\n");
  EXPECT_EQ(fragment->size(), 1U);
  EXPECT_EQ(count(Dropped::limit), 1U);
}

TEST_F(PageReaderTest, FamiliesThatAreNotSelectedDoNotCount) {
  rules.keep.push_back(pattern("kept.*"));
  std::string page;
  for (int i = 0; i < 12'000; ++i) {
    page += "# TYPE a" + std::to_string(i) + " gauge\na" + std::to_string(i) + " 1\n";
  }
  EXPECT_THAT(read(page + "kept 1\n# TYPE kept2 summary\nkept2_sum 1\nkept2_count 1\n"),
              testing::SizeIs(2));
  EXPECT_EQ(dropped, DroppedLines{});
  page.clear();
  for (int i = 0; i < 110'000; ++i) page += "a" + std::to_string(i) + " 1\n";
  EXPECT_THAT(read("kept 1\n" + page + "kept_late 1\n"), testing::SizeIs(1));
  EXPECT_EQ(count(Dropped::limit), 1U);
}

TEST_F(PageReaderTest, LinesOfFamiliesBeyondTheLimitAreCounted) {
  rules.keep.push_back(pattern("kept.*|h"));
  std::string page;
  for (int i = 0; i < 10'000; ++i) page += "kept" + std::to_string(i) + " 1\n";
  read(page + "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n");
  EXPECT_EQ(fragment->size(), 10'000U);
  EXPECT_EQ(count(Dropped::limit), 3U);
}

TEST_F(PageReaderTest, ResultDoesNotDependOnThePieces) {
  const std::string_view page =
      "# HELP h Help.\n# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"
      "a{b=\"c\"} 1 5\nbad line\r\n{\"q.x\"} 1\r\nz 1";
  const auto whole = read(page);
  EXPECT_EQ(whole.size(), 4U);
  for (const std::size_t piece : {1, 2, 3, 7, 20}) EXPECT_EQ(read(page, false, piece), whole);
}

// A line is compared with the line before it and with the previous page. Both comparisons only save
// time.
TEST_F(PageReaderTest, ResultDoesNotDependOnAdjacentLinesAndThePageBefore) {
  std::mt19937 random(19);
  const auto any = [&](const std::vector<std::string>& of) { return of[random() % of.size()]; };
  const auto random_page = [&] {
    std::string page = "# TYPE h histogram\n";
    for (int i = 0; i < 30; ++i) {
      page += any({"h_bucket", "h_sum", "h_count", "h", "hh", "{\"h\",", " h"});
      if (!page.ends_with(',')) page += any({"{", "{", "{", " {", ""});
      for (auto n = random() % 4; n > 0 && !page.ends_with('h'); --n) {
        page += any({"a", "aa", "le", "i", "\"a\"", "a "}) + "=\"";
        page += any({"", "1", "1", "11", "\\\"", "\\x", "\xc3\xa9", "\xff", "x\\"}) + '"';
        page += any({",", ",", ",", " ,", "", "}"});
      }
      page += any({"} ", "} ", "}", ",} ", " "}) + any({"1", "2", "1 5", "x", "1 # {}"}) + '\n';
    }
    return page;
  };
  rules.rename_labels = {{"aa", "b"}};
  for (int i = 0; i < 300; ++i) {
    const std::string page = random_page();
    previous = nullptr;
    const auto whole = read(page);
    const DroppedLines counts = dropped;
    // Each line arrives in a separate piece from the line before.
    EXPECT_EQ(read(page, false, 1), whole) << page;
    EXPECT_EQ(dropped, counts) << page;
    for (const std::string& before : {page, page.substr(page.size() / 2), page + page,
                                      page.substr(0, page.size() / 2), random_page()}) {
      fragment = nullptr;
      ForeignFamilies other;  // so that the types of the previous page do not conflict
      std::swap(families, other);
      previous = nullptr;
      read(before);
      previous = fragment;
      std::swap(families, other);
      EXPECT_EQ(read(page), whole) << before << "\nthen\n" << page;
      EXPECT_EQ(dropped, counts);
      previous = fragment = nullptr;
    }
  }
}

TEST_F(PageReaderTest, OpenMetricsEndsWithEof) {
  EXPECT_THROW(read("a 1\n", true), ProbeError);
  EXPECT_THROW(read("", true), ProbeError);
  EXPECT_THAT(read("a 1\n# EOF\nb 1\n", true), ElementsAre("unknown a\na{i=\"x\"} 1\n"));
  EXPECT_THAT(read("a 1\n# EOF", true), testing::SizeIs(1));  // its newline is optional
  EXPECT_THAT(read("a 1\n# EOF\r", true, 3), testing::SizeIs(1));
  EXPECT_THROW(read("a 1\n# EO", true), ProbeError);
  EXPECT_THAT(read("a 1\n# EOF\nb 1\n"), testing::SizeIs(2));  // a comment
  EXPECT_THAT(read(""), ElementsAre());
}

// ---- rules --------------------------------------------------------------------------------------

TEST_F(PageReaderTest, KeepAndDropSelectWholeFamilies) {
  rules.keep = {pattern("a.*"), pattern("h")};
  rules.drop = {pattern("ab")};
  EXPECT_THAT(read("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n"
                   "a 1\nab 1\nabc 1\nxa 1\n"),
              ElementsAre(HasSubstr("histogram h\n"), "unknown a\na{i=\"x\"} 1\n",
                          "unknown abc\nabc{i=\"x\"} 1\n"));
  EXPECT_EQ(dropped, DroppedLines{});
}

TEST_F(PageReaderTest, LabelsThatClashAreExported) {
  labels = kLabels;
  EXPECT_EQ(lines("a{instance=\"i\",b=\"c\",probe=\"q\",__name__=\"z\"} 1\n"),
            "a{probe=\"p\",instance=\"t:1\",relayed_instance=\"i\",b=\"c\",exported_probe=\"q\","
            "exported___name__=\"z\"} 1\n");
  EXPECT_EQ(lines("a{probe=\"1\",exported_probe=\"2\"} 1\n"),
            "a{probe=\"p\",instance=\"t:1\",exported_exported_probe=\"1\",exported_probe=\"2\"} "
            "1\n");
}

// The shipped scrape configurations interpret exported_instance as the instance.
TEST_F(PageReaderTest, NoLineHasTheLabelExportedInstance) {
  labels = kLabels;
  EXPECT_EQ(lines("a{exported_instance=\"i\"} 1\n"),
            "a{probe=\"p\",instance=\"t:1\",relayed_exported_instance=\"i\"} 1\n");
  EXPECT_EQ(
      lines("a{instance=\"i\",relayed_instance=\"j\"} 1\n"),
      "a{probe=\"p\",instance=\"t:1\",exported_relayed_instance=\"i\",relayed_instance=\"j\"} "
      "1\n");
}

TEST_F(PageReaderTest, NamesInConstantLabelsMayFollowEscapes) {
  labels = R"(probe="a\",x=\"\\",team="b",instance="")";
  EXPECT_EQ(lines("a{x=\"1\",team=\"2\"} 1\n"),
            std::string("a{") + std::string(labels) + ",x=\"1\",exported_team=\"2\"} 1\n");
}

TEST_F(PageReaderTest, RenamesLabels) {
  rules.rename_labels = {{"ns", "namespace"}, {"y", "i"}};
  EXPECT_EQ(lines("a{ns=\"1\",y=\"2\"} 1\n"), "a{i=\"x\",namespace=\"1\",exported_i=\"2\"} 1\n");
  EXPECT_EQ(lines("a{ns=\"1\",namespace=\"2\"} 1\n"),
            "a{i=\"x\",exported_namespace=\"1\",namespace=\"2\"} 1\n");
}

TEST_F(PageReaderTest, LabelsWithOneNewNameStayApart) {
  rules.rename_labels = {{"a", "c"}, {"b", "c"}};
  EXPECT_EQ(lines("m{a=\"1\"} 1\nm{b=\"2\"} 1\n"), "m{i=\"x\",c=\"1\"} 1\nm{i=\"x\",c=\"2\"} 1\n");
  EXPECT_EQ(lines("m{a=\"1\",b=\"2\"} 1\n"), "m{i=\"x\",c=\"1\",exported_c=\"2\"} 1\n");
}

// ---- the page before ----------------------------------------------------------------------------

TEST_F(PageReaderTest, SharesLinesThatHaveNotChanged) {
  read("a 1\nb 1\n");
  previous = fragment;
  read("a 1\nb 2\n");
  EXPECT_EQ((*fragment)[0].keeper, (*previous)[0].keeper);
  EXPECT_EQ((*fragment)[0].lines.data(), (*previous)[0].lines.data());
  EXPECT_NE((*fragment)[1].keeper, (*previous)[1].keeper);
}

TEST_F(PageReaderTest, SharesNothingWhenALineIsAddedOrRemoved) {
  read("a{b=\"1\"} 1\na{b=\"2\"} 2\n");
  previous = fragment;
  EXPECT_EQ(lines("a{b=\"1\"} 1\n"), "a{i=\"x\",b=\"1\"} 1\n");
  EXPECT_EQ(lines("a{b=\"1\"} 1\na{b=\"2\"} 2\na{b=\"3\"} 3\n"),
            "a{i=\"x\",b=\"1\"} 1\na{i=\"x\",b=\"2\"} 2\na{i=\"x\",b=\"3\"} 3\n");
  EXPECT_EQ(lines("a{b=\"2\"} 2\n"), "a{i=\"x\",b=\"2\"} 2\n");
}

// The names of its samples still belong to the family of the previous page.
TEST_F(PageReaderTest, HistogramIsAbsentForOneRunWhenItsTypeChanges) {
  const std::string good = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\n";
  const std::string bad = "# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum -1\nh_count 1\n";
  const auto next = [&](const std::string& page) {
    previous = fragment;
    return read(page + "a 1\n");
  };
  EXPECT_THAT(next(good), testing::Contains(HasSubstr("histogram h\n")));
  EXPECT_THAT(next(bad), testing::SizeIs(1));
  EXPECT_EQ(count(Dropped::name), 3U);
  EXPECT_THAT(next(good), testing::Contains(HasSubstr("histogram h\n")));
  next(bad);
  EXPECT_THAT(next(bad), testing::Contains(HasSubstr("unknown h_count\n")));
  EXPECT_THAT(next(good), testing::SizeIs(1));
  EXPECT_EQ(count(Dropped::name), 3U);
  EXPECT_THAT(next(good), testing::Contains(HasSubstr("histogram h\n")));
}

TEST_F(PageReaderTest, NothingStaysOfAPage) {
  read("# TYPE h histogram\nh_bucket{le=\"+Inf\"} 1\nh_sum 1\nh_count 1\na 1\n");
  EXPECT_EQ(families.size(), 2U);
  fragment.reset();
  EXPECT_EQ(families.size(), 0U);
}

}  // namespace
}  // namespace vitalsd::page
