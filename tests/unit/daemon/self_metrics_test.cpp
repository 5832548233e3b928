#include "daemon/self_metrics.hpp"

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

#include "unit/support/page.hpp"
#include <gtest/gtest.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;

// Returns the lines of one family, or an empty string.
std::string lines_of(const SelfMetrics& metrics, std::string_view name) {
  for (const Exposition::Extra& extra : metrics.collect()) {
    if (extra.name == name) return extra.lines;
  }
  return {};
}

TEST(SelfMetrics, CountsRequestsByRouteAndStatus) {
  SelfMetrics metrics;
  metrics.count_request("/metrics", 200);
  metrics.count_request("/metrics", 200);
  metrics.count_request("other", 404);
  const std::string lines = lines_of(metrics, "vitalsd_http_requests_total");
  EXPECT_TRUE(lines.contains(R"(vitalsd_http_requests_total{code="200",route="/metrics"} 2)"));
  EXPECT_TRUE(lines.contains(R"(vitalsd_http_requests_total{code="404",route="other"} 1)"));
}

TEST(SelfMetrics, WritesBucketsInCanonicalForm) {
  SelfMetrics metrics;
  metrics.observe_loop_lag(3ms);
  metrics.observe_loop_lag(2s);
  EXPECT_EQ(lines_of(metrics, "vitalsd_loop_lag_seconds"),
            "vitalsd_loop_lag_seconds_bucket{le=\"0.001\"} 0\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.002\"} 0\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.005\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.01\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.025\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.05\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.1\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"0.25\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"1.0\"} 1\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"5.0\"} 2\n"
            "vitalsd_loop_lag_seconds_bucket{le=\"+Inf\"} 2\n"
            "vitalsd_loop_lag_seconds_sum 2.003\n"
            "vitalsd_loop_lag_seconds_count 2\n");
}

TEST(SelfMetrics, IncludesProcessMetrics) {
  const SelfMetrics metrics;
  const auto value = [&](std::string_view name) {
    return test::parse_samples(lines_of(metrics, name)).at(0).value;
  };
  EXPECT_GT(value("process_resident_memory_bytes"), 1 << 20);
  EXPECT_GT(value("process_open_fds"), 2);
  EXPECT_GE(value("process_max_fds"), value("process_open_fds"));
  EXPECT_GE(value("process_cpu_seconds_total"), 0);
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  EXPECT_NEAR(value("process_start_time_seconds"), now.count(), 600);
}

TEST(SelfMetrics, ProducesAWellFormedPage) {
  SelfMetrics metrics;
  metrics.set_probes("tcp", 3);
  const Exposition exposition;
  const std::string page = test::page(exposition, {}, Format::openmetrics, metrics.collect());
  EXPECT_TRUE(page.contains("# TYPE vitalsd_loop_lag_seconds histogram\n"));
  EXPECT_TRUE(page.contains("# TYPE vitalsd_probes gauge\nvitalsd_probes{kind=\"tcp\"} 3\n"));
  EXPECT_NO_THROW(test::parse_samples(page));
}

}  // namespace
}  // namespace vitalsd
