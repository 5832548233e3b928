#include "exporter/model/series_limit.hpp"

#include "exporter/model/foreign.hpp"

#include <algorithm>
#include <cstdint>

namespace vitalsd {
namespace {

// The largest number of series per owner for which all owners together have at most `room`.
std::size_t fair_share(std::vector<std::size_t> wanted, std::size_t room) {
  std::ranges::sort(wanted);
  std::size_t owners = wanted.size();
  for (const std::size_t each : wanted) {
    if (each > room / owners) return room / owners;
    room -= each;
    --owners;
  }
  return SIZE_MAX;
}

}  // namespace

SeriesRank rank_of(const MetricInfo& metric) {
  const bool is_kept =
      metric.keep == Keep::fact || is_reserved_name(metric.name) || metric.name.ends_with("_up");
  return is_kept ? SeriesRank::kept : SeriesRank::declared;
}

SeriesCounts shares_of(const std::vector<SeriesCounts>& wanted, std::size_t limit) {
  SeriesCounts shares;
  shares.fill(SIZE_MAX);
  for (const SeriesRank rank : {SeriesRank::kept, SeriesRank::declared, SeriesRank::foreign}) {
    const auto i = static_cast<std::size_t>(rank);
    std::vector<std::size_t> counts;
    std::size_t sum = 0;
    for (const SeriesCounts& each : wanted) {
      if (each[i] > 0) counts.push_back(each[i]);
      sum += each[i];
    }
    if (rank != SeriesRank::kept && sum > limit) shares[i] = fair_share(std::move(counts), limit);
    limit -= std::min(sum, limit);
  }
  return shares;
}

}  // namespace vitalsd
