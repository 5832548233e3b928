#include "probes/redis/cache_window.hpp"

#include <algorithm>

namespace vitalsd {
namespace {

// Points that are closer together are merged, so that a short interval needs no more memory than a
// long one.
constexpr std::chrono::seconds kMinDistance{2};

}  // namespace

void CacheWindow::add(Time now, std::string_view run_id, const Counters& counters) {
  if (points_.empty()) {
    points_.push_back({now, {}});
  } else {
    // After a restart or CONFIG RESETSTAT, the counters contain only what happened since then.
    const bool reset =
        run_id != run_id_ || counters.hits < last_.hits || counters.misses < last_.misses;
    const Point& last = points_.back();
    Point next{now, last.sums};
    for (const auto counter :
         {&Counters::hits, &Counters::misses, &Counters::list_lengths, &Counters::evictions}) {
      const double all = counters.*counter - (reset ? 0 : last_.*counter);
      next.sums.*counter += std::max(all - own_.*counter, 0.0);
    }
    const bool merges =
        points_.size() > 2 && last.time - points_[points_.size() - 2].time < kMinDistance;
    if (merges)
      points_.back() = next;
    else
      points_.push_back(next);
  }
  run_id_ = run_id;
  last_ = counters;
  own_ = {};
  while (points_.size() > 2 && now - points_[1].time >= kWindow) points_.pop_front();
}

std::optional<double> CacheWindow::hit_rate() const {
  if (points_.empty()) return std::nullopt;
  const Counters& start = points_.front().sums;
  const Counters& end = points_.back().sums;
  const double hits = end.hits - start.hits;
  const double misses = end.misses - start.misses;
  const double other_lists = end.list_lengths - start.list_lengths;
  const double others = hits + misses - other_lists;
  if (others < kMinLookups) return std::nullopt;
  // All LLEN by other clients were hits, or all were misses, as far as there were so many.
  const double low = std::max(hits - other_lists, 0.0) / others;
  const double high = std::min(hits, others) / others;
  return high - low > kMaxUncertainty ? std::nullopt : std::optional(high);
}

double CacheWindow::evictions() const {
  if (points_.empty()) return 0;
  return points_.back().sums.evictions - points_.front().sums.evictions;
}

}  // namespace vitalsd
