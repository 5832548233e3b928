#include "probes/redis/hit_rate.hpp"

#include <algorithm>

namespace vitalsd {
namespace {

// Points that are closer together are merged, so that a short interval needs no more memory than a
// long one.
constexpr std::chrono::seconds kMinDistance{2};

}  // namespace

void HitRateWindow::add(Time now, std::string_view run_id, double hits, double misses) {
  if (points_.empty()) {
    points_.push_back({now, 0, 0});
  } else {
    // After a restart or CONFIG RESETSTAT, the counters contain only what happened since then.
    const bool reset = run_id != run_id_ || hits < last_hits_ || misses < last_misses_;
    const double new_hits = (reset ? hits : hits - last_hits_) - own_hits_;
    const double new_misses = (reset ? misses : misses - last_misses_) - own_misses_;
    const Point& last = points_.back();
    const Point next{now, last.hits + std::max(new_hits, 0.0),
                     last.misses + std::max(new_misses, 0.0)};
    const bool merges =
        points_.size() > 2 && last.time - points_[points_.size() - 2].time < kMinDistance;
    if (merges)
      points_.back() = next;
    else
      points_.push_back(next);
  }
  run_id_ = run_id;
  last_hits_ = hits;
  last_misses_ = misses;
  own_hits_ = own_misses_ = 0;
  while (points_.size() > 2 && now - points_[1].time >= kWindow) points_.pop_front();
}

std::optional<double> HitRateWindow::rate() const {
  if (points_.empty()) return std::nullopt;
  const double hits = points_.back().hits - points_.front().hits;
  const double lookups = hits + points_.back().misses - points_.front().misses;
  if (lookups < kMinLookups) return std::nullopt;
  return hits / lookups;
}

}  // namespace vitalsd
