#include "probes/kubernetes/kubelet/cadvisor.hpp"

#include "probes/error.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <fstream>
#include <iterator>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/readers.hpp"
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace vitalsd::kubernetes {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::array<std::string_view, 11> kFamilies = {"container_memory_working_set_bytes",
                                                        "container_memory_usage_bytes",
                                                        "container_spec_memory_limit_bytes",
                                                        "container_cpu_cfs_periods_total",
                                                        "container_cpu_cfs_throttled_periods_total",
                                                        "container_cpu_cfs_throttled_seconds_total",
                                                        "container_cpu_usage_seconds_total",
                                                        "container_oom_events_total",
                                                        "container_spec_cpu_quota",
                                                        "container_spec_cpu_period",
                                                        "container_start_time_seconds"};
constexpr std::array<std::string_view, 1> kUsage = {"container_memory_usage_bytes"};
constexpr std::array<std::string_view, 1> kLimit = {"container_spec_memory_limit_bytes"};

std::vector<ContainerMetrics> read(std::string_view text,
                                   std::span<const std::string_view> families = kUsage,
                                   std::size_t piece = std::string_view::npos) {
  return test::read_in_pieces(CadvisorReader(families), text, piece);
}

std::string error_of(std::string_view text) {
  return test::protocol_error_of([&] { read(text); });
}

std::string sample() {
  std::ifstream in(VITALSD_TEST_DATA "/kubernetes/cadvisor.txt");
  return {std::istreambuf_iterator<char>(in), {}};
}

std::string row(std::string_view family, std::string_view container, std::string_view id,
                std::string_view value) {
  return std::string(family) + "{container=\"" + std::string(container) + "\",id=\"" +
         std::string(id) + "\",namespace=\"n\",pod=\"p\"} " + std::string(value) + '\n';
}

std::string usage(std::string_view container, std::string_view id, std::string_view value) {
  return row(kUsage[0], container, id, value);
}

std::string start(std::string_view container, std::string_view id, std::string_view value) {
  return row("container_start_time_seconds", container, id, value);
}

void expect_sample(const std::vector<ContainerMetrics>& containers) {
  constexpr auto kNone = std::nullopt;
  ASSERT_EQ(containers.size(), 3);
  for (const ContainerMetrics& container : containers) {
    EXPECT_EQ(container.namespace_name, "vcci-production");
  }
  EXPECT_EQ(containers[0].pod, "api-6d9f7c5b8-x2x7k");
  EXPECT_EQ(containers[0].container, "api");
  EXPECT_EQ(containers[0].image, "registry.example/vcci/api:1.8.2");
  EXPECT_EQ(containers[0].name, "945377a96ab123d9279f86b373aa4c4be1afad0cd95468e26215585441e44986");
  EXPECT_THAT(containers[0].values, ElementsAre(314572800, 419430400, 536870912, 1204, 301, 30.5,
                                                118.5, kNone, kNone, kNone, 1795430285));
  EXPECT_EQ(containers[1].pod, "api-6d9f7c5b8-x2x7k");
  EXPECT_EQ(containers[1].container, "log-shipper");
  EXPECT_THAT(containers[1].values, ElementsAre(18874368, 25165824, kNone, kNone, kNone, kNone,
                                                77.25, kNone, kNone, kNone, 1795300015));
  EXPECT_EQ(containers[2].pod, "postgres-0");
  EXPECT_EQ(containers[2].container, "postgres");
  EXPECT_THAT(containers[2].values, ElementsAre(1610612736, 2147483648, kNone, 912833, 12, 0.75,
                                                20334.75, kNone, kNone, kNone, 1795100020));
}

TEST(Cadvisor, ReadsRecordedPage) { expect_sample(read(sample(), kFamilies)); }

TEST(Cadvisor, AcceptsPiecesOfAnySize) {
  const std::string text = sample();
  for (const std::size_t piece : {1, 2, 3, 7, 100, 4096}) {
    expect_sample(read(text, kFamilies, piece));
  }
}

TEST(Cadvisor, AcceptsRowsInAnyOrder) {
  std::vector<std::string> lines;
  std::string_view rest;
  const std::string text = sample();
  for (rest = text; !rest.empty(); rest.remove_prefix(lines.back().size())) {
    lines.emplace_back(rest.substr(0, rest.find('\n') + 1));
  }
  std::ranges::reverse(lines);
  std::string reversed;
  for (const std::string& line : lines) reversed += line;
  expect_sample(read(reversed, kFamilies));
}

TEST(Cadvisor, SkipsRowsOfAnythingButContainers) {
  EXPECT_TRUE(read(usage("", "/kubepods/pod1", "1") + usage("POD", "/pause", "1") +
                   "container_memory_usage_bytes 1\n"
                   "container_memory_usage_bytes{} 1\n"
                   "container_memory_usage_bytes_total{container=\"c\"} 1\n"
                   "container_memory_usage{container=\"c\"} 1\n"
                   "# TYPE container_memory_usage_bytes gauge\n"
                   "\n")
                  .empty());
  EXPECT_TRUE(read("").empty());
}

TEST(Cadvisor, ReportsIncompletePage) {
  const auto incomplete = [](const std::string& text) {
    CadvisorReader reader(kUsage);
    reader.feed(text);
    EXPECT_EQ(reader.finish().size(), 1U) << "the containers that were read count";
    return reader.is_incomplete();
  };
  const std::string row = usage("c", "/c", "1");
  EXPECT_FALSE(incomplete(row));
  EXPECT_FALSE(incomplete(row + "container_scrape_error 0\n"));
  EXPECT_FALSE(incomplete(row + "container_scrape_error_total 1\n"));
  EXPECT_TRUE(incomplete(row + "container_scrape_error 1\n"));
  EXPECT_TRUE(incomplete("container_scrape_error{} 1 1795430404689\n" + row));
}

TEST(Cadvisor, KeepsNewestInstanceOfContainer) {
  const auto value = [](const std::string& text) {
    const auto containers = read(text);
    return containers.size() == 1 ? containers[0].values.at(0) : std::nullopt;
  };
  const std::string both = usage("c", "/old", "1") + usage("c", "/new", "2");
  EXPECT_EQ(value(both + start("c", "/old", "100") + start("c", "/new", "200")), 2);
  EXPECT_EQ(value(start("c", "/new", "200") + start("c", "/old", "100") + both), 2);
  EXPECT_EQ(value(both + start("c", "/old", "200") + start("c", "/new", "100")), 1);
  EXPECT_EQ(value(both + start("c", "/old", "100")), 1);  // no start time: older
  // A value that the newest instance lacks is absent, even if an older instance has it.
  EXPECT_EQ(value(usage("c", "/old", "1") + start("c", "/old", "1") + start("c", "/new", "2")),
            std::nullopt);
}

TEST(Cadvisor, SkipsSingleCores) {
  constexpr std::array<std::string_view, 1> kCpu = {"container_cpu_usage_seconds_total"};
  const auto containers = read(
      "container_cpu_usage_seconds_total{container=\"c\",cpu=\"cpu00\"} 1\n"
      "container_cpu_usage_seconds_total{container=\"c\",cpu=\"total\"} 3\n"
      "container_cpu_usage_seconds_total{container=\"c\",cpu=\"cpu01\"} 2\n",
      kCpu);
  ASSERT_EQ(containers.size(), 1);
  EXPECT_THAT(containers[0].values, ElementsAre(3));
}

TEST(Cadvisor, SkipsMemoryLimitsThatMeanNoLimit) {
  for (const std::string_view none : {"0", "9.223372036854772e+18", "9223372036854771712",
                                      "1.8446744073709552e+19", "-1", "+Inf"}) {
    EXPECT_TRUE(read(row(kLimit[0], "c", "/c", none), kLimit).empty()) << none;
  }
  EXPECT_THAT(read(row(kLimit[0], "c", "/c", "1024"), kLimit).at(0).values, ElementsAre(1024));
}

TEST(Cadvisor, ReadsEveryFormOfSample) {
  struct Case {
    std::string_view text;
    std::optional<double> value;
  };
  for (const auto& [text, value] : {
           Case{"{container=\"c\"} 1", 1},
           Case{"{container=\"c\"} 1 1795430404689", 1},
           Case{"{container=\"c\"} 1 -1", 1},
           Case{"{container=\"c\",} 1", 1},
           Case{" \t{ container = \"c\" , id = \"x\" } \t 1 \t 2 ", 1},
           Case{"{container=\"c\"}1", 1},
           Case{"{container=\"c\"} +1.5e3", 1500},
           Case{"{container=\"c\"} -0.25", -0.25},
           Case{"{container=\"c\",image=\"a\\\\\\\"\\nb}, 7\"} 1", 1},
       }) {
    const auto containers = read("container_memory_usage_bytes" + std::string(text) + '\n');
    ASSERT_EQ(containers.size(), 1) << text;
    EXPECT_EQ(containers[0].container, "c") << text;
    EXPECT_EQ(containers[0].values.at(0), value) << text;
  }
  for (const std::string_view none : {"NaN", "+Inf", "-Inf"}) {
    EXPECT_TRUE(read(usage("c", "/c", none)).empty()) << none;
  }
}

TEST(Cadvisor, UnescapesLabels) {
  const auto containers = read(usage(R"(a\"b\\c\nd\\)", "/c", "1"));
  ASSERT_EQ(containers.size(), 1);
  EXPECT_EQ(containers[0].container, "a\"b\\c\nd\\");
}

TEST(Cadvisor, ReportsInvalidLines) {
  struct Case {
    std::string_view text;
    std::string_view error;
  };
  for (const auto& [text, error] : {
           Case{"<html>", "line 2: expected a metric name"},
           Case{" container_memory_usage_bytes 1", "line 2: expected a metric name"},
           Case{"container_memory_usage_bytes", "line 2: the value is not a number"},
           Case{"container_memory_usage_bytes{}", "line 2: the value is not a number"},
           Case{"container_memory_usage_bytes{} x", "line 2: the value is not a number"},
           Case{"container_memory_usage_bytes{} +-1", "line 2: the value is not a number"},
           Case{"container_memory_usage_bytes{} 1e999", "line 2: the value is not a number"},
           Case{"container_memory_usage_bytes{} 1\r", "line 2: the value is not a number"},
           Case{"container_memory_usage_bytes{} 1 x", "line 2: unexpected text after the value"},
           Case{"container_memory_usage_bytes{} 1 2 3", "line 2: unexpected text after the value"},
           Case{"container_memory_usage_bytes{} 1 # {} 1",
                "line 2: unexpected text after the value"},
           Case{"container_memory_usage_bytes{", "line 2: expected a label"},
           Case{"container_memory_usage_bytes{,} 1", "line 2: expected a label"},
           Case{"container_memory_usage_bytes{a} 1", "line 2: expected a label"},
           Case{"container_memory_usage_bytes{\"a\"} 1", "line 2: expected a label"},
           Case{"container_memory_usage_bytes{a=} 1", "label a is not a quoted string"},
           Case{"container_memory_usage_bytes{a='b'} 1", "label a is not a quoted string"},
           Case{"container_memory_usage_bytes{a=\"b} 1", "label a is not a quoted string"},
           Case{"container_memory_usage_bytes{a=\"b\\", "label a is not a quoted string"},
           Case{"container_memory_usage_bytes{a=\"\\t\"} 1", "label a is not a quoted string"},
           Case{"container_memory_usage_bytes{a=\"b\" c=\"d\"} 1",
                "line 2: expected ',' or '}' after a label"},
           Case{"container_memory_usage_bytes{a=\"b\"",
                "line 2: expected ',' or '}' after a label"},
       }) {
    EXPECT_THAT(error_of("# a comment\n" + std::string(text) + "\n"), HasSubstr(error)) << text;
  }
  EXPECT_THAT(error_of("a 1\na 2\na"),
              HasSubstr("line 3: the page ends in the middle of the line"));
}

TEST(Cadvisor, EnforcesLimits) {
  const std::string comment = "# " + std::string((std::size_t{64} << 10) - 2, 'a');
  EXPECT_EQ(error_of(comment + '\n'), "");
  EXPECT_THAT(error_of(comment + "a\n"), HasSubstr("line 1: longer than 64 KiB"));
  EXPECT_THAT(error_of(comment + 'a'), HasSubstr("line 1: longer than 64 KiB"));
  EXPECT_THROW(read(std::string(100'000, 'a'), kUsage, 1), ProbeError);

  CadvisorReader reader(kUsage);
  const std::string filling(60'000, 'a');
  EXPECT_THROW(
      {
        for (int i = 0; i < 1'000; ++i) reader.feed(usage("c", filling + std::to_string(i), "1"));
      },
      ProbeError);

  // An endless page of which nothing is kept.
  const std::string comments(std::size_t{1} << 20, '\n');
  CadvisorReader of_comments(kUsage);
  for (int i = 0; i < 128; ++i) of_comments.feed(comments);
  EXPECT_THROW(of_comments.feed("\n"), ProbeError);
}

}  // namespace
}  // namespace vitalsd::kubernetes
