#include "exporter/model/series_limit.hpp"

#include <cstddef>
#include <cstdint>
#include <vector>

#include <gtest/gtest.h>

namespace vitalsd {
namespace {

constexpr Metric kReading({.name = "queue_depth", .help = "Messages in the queue."});
constexpr Metric kFact({.name = "cert_expiry", .help = "When it expires.", .keep = Keep::fact});
constexpr Metric kUp({.name = "pg_up", .help = "Whether the server is up."});
constexpr Metric kOwn({.name = "vitalsd_target_up", .help = "Whether the target is up."});
constexpr Metric kSuccess({.name = "probe_success", .help = "Whether the run succeeded."});

TEST(SeriesLimit, WhatTellsTheStateOfProbesIsKept) {
  EXPECT_EQ(rank_of(kReading), SeriesRank::declared);
  for (const MetricInfo* metric : std::vector<const MetricInfo*>{&kFact, &kUp, &kOwn, &kSuccess}) {
    EXPECT_EQ(rank_of(*metric), SeriesRank::kept) << metric->name;
  }
}

TEST(SeriesLimit, RelayedSeriesGoFirst) {
  constexpr std::size_t kAll = SIZE_MAX;
  const std::vector<SeriesCounts> wanted = {{1, 10, 0}, {1, 20, 100}, {1, 0, 40}, {1, 0, 5}};
  EXPECT_EQ(shares_of(wanted, 179), (SeriesCounts{kAll, kAll, kAll}));
  // The owner with the most series loses some.
  EXPECT_EQ(shares_of(wanted, 178), (SeriesCounts{kAll, kAll, 99}));
  EXPECT_EQ(shares_of(wanted, 34 + 5 + 40 + 40), (SeriesCounts{kAll, kAll, 40}));
  EXPECT_EQ(shares_of(wanted, 34 + 5 + 60), (SeriesCounts{kAll, kAll, 30}));
  EXPECT_EQ(shares_of(wanted, 34 + 6), (SeriesCounts{kAll, kAll, 2}));
  EXPECT_EQ(shares_of(wanted, 34), (SeriesCounts{kAll, kAll, 0}));
  // Next, declared series of this owner are left out.
  EXPECT_EQ(shares_of(wanted, 33), (SeriesCounts{kAll, 19, 0}));
  EXPECT_EQ(shares_of(wanted, 4), (SeriesCounts{kAll, 0, 0}));
  EXPECT_EQ(shares_of(wanted, 1), (SeriesCounts{kAll, 0, 0}));
  EXPECT_EQ(shares_of({}, 1), (SeriesCounts{kAll, kAll, kAll}));
}

}  // namespace
}  // namespace vitalsd
