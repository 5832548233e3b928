// Which series a page leaves out if the probes have more than a limit. Pure.
#pragma once

#include "exporter/model/metric.hpp"

#include <array>
#include <cstddef>
#include <vector>

namespace vitalsd {

/// In the order of precedence: a limit leaves out the last rank first.
enum class SeriesRank : unsigned char {
  kept,      ///< facts, and series about the state of the probes: never left out
  declared,  ///< other series of metrics that vitalsd declares
  foreign,   ///< relayed series, and those of SQL statements
};
using SeriesCounts = std::array<std::size_t, 3>;  ///< by rank

/// The rank of the series of a metric that vitalsd declares.
SeriesRank rank_of(const MetricInfo& metric);

/// How many series of each rank one owner may have, if the owners have `wanted` and all together
/// may have `limit`. The owners with the fewest series keep all of them (max-min fairness), so an
/// owner with many series does not displace the series of the others.
SeriesCounts shares_of(const std::vector<SeriesCounts>& wanted, std::size_t limit);

}  // namespace vitalsd
