#include "exporter/model/histogram.hpp"

#include "exporter/model/exposition.hpp"
#include "exporter/model/ledger.hpp"
#include "exporter/model/sample_set.hpp"

#include <array>
#include <limits>
#include <optional>
#include <string>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

constexpr Histogram kDuration({.name = "request_duration_seconds",
                               .unit = Unit::seconds,
                               .help = "Durations of requests."},
                              std::array{0.25, 1.0, 10.0}, "phase");

std::string text_of(const HistogramCounts& counts) {
  std::string text;
  counts.render(text, kDuration.name, R"(probe="p")");
  return text;
}

TEST(Histogram, CountsObservationsUpToEachBound) {
  HistogramCounts counts(kDuration);
  for (const double value : {0.0, 0.25, 0.3, 10.0, 11.0}) counts.add(value);
  EXPECT_EQ(text_of(counts),
            "request_duration_seconds_bucket{probe=\"p\",le=\"0.25\"} 2\n"
            "request_duration_seconds_bucket{probe=\"p\",le=\"1.0\"} 3\n"
            "request_duration_seconds_bucket{probe=\"p\",le=\"10.0\"} 4\n"
            "request_duration_seconds_bucket{probe=\"p\",le=\"+Inf\"} 5\n"
            "request_duration_seconds_sum{probe=\"p\"} 21.55\n"
            "request_duration_seconds_count{probe=\"p\"} 5\n");
}

TEST(Histogram, IgnoresNan) {
  HistogramCounts counts(kDuration);
  const std::string before = text_of(counts);
  counts.add(std::numeric_limits<double>::quiet_NaN());
  EXPECT_EQ(text_of(counts), before);
  counts.add(std::numeric_limits<double>::infinity());
  EXPECT_TRUE(text_of(counts).contains("_sum{probe=\"p\"} +Inf\n"));
}

TEST(Histogram, WritesBoundsInTheirCanonicalForm) {
  EXPECT_EQ(bound_text(0.005), "0.005");
  EXPECT_EQ(bound_text(1), "1.0");
  EXPECT_EQ(bound_text(std::numeric_limits<double>::infinity()), "+Inf");
}

TEST(Histogram, IsOneChunkOfThePage) {
  Exposition exposition;
  Ledger ledger(exposition, "p", R"(probe="p")");
  HistogramCounts counts(kDuration);
  const auto publish = [&](double value) {
    counts.add(value);
    SampleSet set;
    set.set_constant_labels(ledger.constant_labels());
    set.add(kDuration, counts, "a \"phase\"");
    ledger.publish(set, std::nullopt, {}, {});
  };
  publish(0.1);
  publish(2);
  const std::string text = test::page(exposition);
  EXPECT_TRUE(text.contains("# TYPE request_duration_seconds histogram\n")) << text;
  EXPECT_TRUE(text.contains(
      R"(request_duration_seconds_bucket{probe="p",phase="a \"phase\"",le="0.25"} 1)"))
      << text;
  EXPECT_EQ(test::parse_samples(text).size(), 6U);
}

}  // namespace
}  // namespace vitalsd
