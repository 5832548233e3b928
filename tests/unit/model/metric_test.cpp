#include "exporter/model/histogram.hpp"
#include "exporter/model/metric_table.hpp"

#include <array>
#include <string_view>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

// That these declarations compile is part of the test.
constexpr Metric kGauge({.name = "queue_messages", .help = "Messages in the queue."}, "queue",
                        "vhost");
constexpr Metric kCounter({.name = "read_bytes_total",
                           .type = Type::counter,
                           .unit = Unit::bytes,
                           .help = "Bytes that were read."});
constexpr Metric kFact({.name = "cert_expiry_timestamp",
                        .help = "When the certificate ends, in Unix time.",
                        .keep = Keep::fact},
                       "cn");
constexpr Metric kWaived({.name = "pg_stat_activity_count",
                          .help = "Connections by state.",
                          .waiver = "postgres_exporter's name"});

constexpr Histogram kDuration({.name = "request_duration_seconds",
                               .unit = Unit::seconds,
                               .help = "Durations of requests."},
                              std::array{0.25, 1.0, 10.0}, "phase");

static_assert(kGauge.label_count == 2 && kGauge.label_names[1] == "vhost");
static_assert(kGauge.type == Type::gauge && kGauge.keep == Keep::reading);
static_assert(kCounter.unit == Unit::bytes && kCounter.label_count == 0);
static_assert(kFact.keep == Keep::fact);
static_assert(!kWaived.waiver.empty());
static_assert(metric_list(kGauge, kFact)[1] == &kFact);

static_assert(kDuration.type == Type::histogram && kDuration.bounds.size() == 3);
static_assert(metric_list(kDuration)[0] == &kDuration);

constexpr std::string_view fault(std::string_view name, Type type = Type::gauge,
                                 Unit unit = Unit::none) {
  return lint::name_fault({.name = name, .type = type, .unit = unit});
}

TEST(NameLint, AcceptsGoodNames) {
  EXPECT_EQ(fault("redis_connected_clients"), "");
  EXPECT_EQ(fault("requests_total", Type::counter), "");
  EXPECT_EQ(fault("read_bytes_total", Type::counter, Unit::bytes), "");
  EXPECT_EQ(fault("probe_duration_seconds", Type::gauge, Unit::seconds), "");
  EXPECT_EQ(fault("hit_ratio", Type::gauge, Unit::ratio), "");
  EXPECT_EQ(fault("build_info"), "");
  EXPECT_EQ(fault("foreign_thing", Type::unknown), "");
}

TEST(NameLint, RequiresTotalForCountersOnly) {
  constexpr std::string_view kFault = "names of counters, and of counters only, must end in _total";
  EXPECT_EQ(fault("requests", Type::counter), kFault);
  EXPECT_EQ(fault("requests_total", Type::gauge), kFault);
  EXPECT_EQ(fault("requests_total", Type::unknown), kFault);
}

TEST(NameLint, ReservesSuffixesForHistogramsAndSummaries) {
  constexpr std::string_view kFault = "the suffix is reserved for histograms and summaries";
  EXPECT_EQ(fault("connections_count"), kFault);
  EXPECT_EQ(fault("size_sum"), kFault);
  EXPECT_EQ(fault("latency_bucket"), kFault);
  EXPECT_EQ(fault("things_count_total", Type::counter), kFault);
  EXPECT_EQ(fault("count"), "");
  EXPECT_EQ(fault("countries"), "");
}

TEST(NameLint, RequiresInfoMetricsToBeGauges) {
  EXPECT_EQ(fault("build_info", Type::unknown), "info metrics must be gauges");
  EXPECT_EQ(fault("build_info_total", Type::counter), "info metrics must be gauges");
}

TEST(NameLint, RefusesNamesThatRepeatTheirType) {
  constexpr std::string_view kFault = "the name must not contain its type";
  for (const char* name :
       {"queue_gauge", "counter_of_things", "my_histogram_x", "summary", "some_metric"}) {
    EXPECT_EQ(fault(name), kFault) << name;
  }
  EXPECT_EQ(fault("encounters"), "");
  EXPECT_EQ(fault("metrics_server_up"), "");
}

TEST(NameLint, RequiresBaseUnits) {
  constexpr std::string_view kFault = "the unit must be a base unit: seconds, bytes, ratio";
  for (const char* name : {"latency_ms", "latency_milliseconds", "age_minutes", "age_hours",
                           "days_left", "disk_used_percent", "size_kb", "size_kilobytes", "size_mb",
                           "size_megabytes", "size_gb", "gigabytes_free"}) {
    EXPECT_EQ(fault(name), kFault) << name;
  }
  EXPECT_EQ(fault("holidays"), "");
  EXPECT_EQ(fault("algorithms"), "");
}

TEST(NameLint, RequiresTheUnitAtTheEnd) {
  constexpr std::string_view kFault = "the name must end in its unit";
  EXPECT_EQ(fault("seconds_taken", Type::gauge, Unit::seconds), kFault);
  EXPECT_EQ(fault("size", Type::gauge, Unit::bytes), kFault);
  EXPECT_EQ(fault("bytes", Type::gauge, Unit::bytes), kFault);
  EXPECT_EQ(fault("megabytez_total", Type::counter, Unit::bytes), kFault);
}

TEST(NameLint, RequiresADeclaredUnit) {
  constexpr std::string_view kFault = "the name ends in a unit that is not declared";
  EXPECT_EQ(fault("probe_duration_seconds"), kFault);
  EXPECT_EQ(fault("used_bytes"), kFault);
  EXPECT_EQ(fault("hit_ratio", Type::gauge), kFault);
}

TEST(NameLint, RequiresSnakeCase) {
  for (const char* name : {"a", "snake_case", "http2_requests"}) EXPECT_TRUE(lint::is_word(name));
  for (const char* name : {"", "2x", "_x", "x_", "a__b", "camelCase", "a-b", "a:b", "é"}) {
    EXPECT_FALSE(lint::is_word(name)) << name;
  }
}

TEST(NameLint, FindsWholePartsOnly) {
  EXPECT_TRUE(lint::has_part("ms", "ms"));
  EXPECT_TRUE(lint::has_part("ms_left", "ms"));
  EXPECT_TRUE(lint::has_part("items_ms", "ms"));
  EXPECT_FALSE(lint::has_part("items", "ms"));
  EXPECT_FALSE(lint::has_part("", "ms"));
}

}  // namespace
}  // namespace vitalsd
