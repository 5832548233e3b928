// Compares the rendered lines with those of prometheus-cpp: a parser must read the same random
// samples from both. Only sample lines are compared, because prometheus-cpp does not escape HELP
// and writes "Nan".
#include "exporter/model/sample_set.hpp"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>
#include <prometheus/metric_family.h>
#include <prometheus/text_serializer.h>

namespace vitalsd {
namespace {

constexpr Metric kMetric({.name = "oracle_test", .help = "Random samples."}, "a", "b", "n");

class Random {
 public:
  std::string text() {
    constexpr std::array<std::string_view, 12> kBits = {"",  "a", "\\", "\"", "\n", "\\n",
                                                        "{", "}", ",",  "=",  "é",  "\U0001f600"};
    std::string out;
    for (std::size_t i = engine_() % 6; i > 0; --i) out += kBits[engine_() % kBits.size()];
    return out;
  }

  double value() {
    constexpr double kInfinity = std::numeric_limits<double>::infinity();
    constexpr std::array kCorners = {0.0,    -0.0,  1.0,         -1.0,       kInfinity,
                                     1e15,   1e16,  0.1,         -kInfinity, 9007199254740993.0,
                                     5e-324, 1e308, 1767225600.5};
    switch (engine_() % 3) {
      case 0:
        return kCorners[engine_() % kCorners.size()];
      case 1:
        return static_cast<double>(static_cast<std::int64_t>(engine_())) / 1000;
      default:  // any bit pattern except NaN
        const auto random_bits = std::bit_cast<double>(engine_());
        return std::isnan(random_bits) ? 0 : random_bits;
    }
  }

 private:
  std::mt19937_64 engine_{9747};
};

prometheus::ClientMetric::Label label(const std::string& name, const std::string& value) {
  return {name, value};
}

TEST(Oracle, HasTheSameSamples) {
  Random random;
  Part part;
  prometheus::MetricFamily family;
  family.name = std::string(kMetric.name);
  family.type = prometheus::MetricType::Gauge;
  for (int i = 0; i < 5'000; ++i) {
    const std::string a = random.text();
    const std::string b = random.text();
    const std::string n = std::to_string(i);
    const double value = random.value();
    part.add(kMetric, value, a, b, n);
    prometheus::ClientMetric metric;
    metric.label = {label("a", a), label("b", b), label("n", n)};
    metric.gauge.value = value;
    family.metric.push_back(std::move(metric));
  }
  std::size_t duplicates = 0;
  Rendering rendered;
  part.render(rendered, "", duplicates);
  ASSERT_EQ(rendered.families.size(), 1U);
  const auto read = test::parse_samples(rendered.text);
  const auto expected = test::parse_samples(prometheus::TextSerializer().Serialize({family}));
  ASSERT_EQ(read.size(), expected.size());
  for (std::size_t i = 0; i < read.size(); ++i) {
    EXPECT_EQ(read[i].name, expected[i].name);
    EXPECT_EQ(read[i].labels, expected[i].labels);
    EXPECT_EQ(read[i].value, family.metric[i].gauge.value);  // exactly equal
    EXPECT_DOUBLE_EQ(read[i].value, expected[i].value);  // prometheus-cpp writes 16 of 17 digits
  }
}

}  // namespace
}  // namespace vitalsd
