#include "probes/kubernetes/kubelet/pace.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr int kRequests = 2;                // to each kubelet, one after the other
constexpr config::Duration kMinLimit = 3s;  // of limit_; in a short run 40% of it

// The HTTP client interprets a limit of 0 as no limit. A run that is shorter than this ends at its
// own deadline.
constexpr config::Duration kMinRun = 100ms;

// The last tenth of the run is reserved for its end.
config::Duration usable(config::Duration time) { return time * 9 / 10; }

}  // namespace

Pace::Pace(Clock::time_point started, config::Duration whole, std::size_t kubelets,
           std::size_t concurrency)
    : started_(started),
      whole_(std::max(whole, kMinRun)),
      kubelets_(kubelets),
      concurrency_(concurrency) {
  if (rows(0) > 1) spread_ = whole_ / 2;
  limit_ = std::clamp(usable(whole_ - spread_) / std::max(rows(0), 1L),
                      std::min(whole_ * 4 / 10, kMinLimit), usable(whole_));
}

Pace::Clock::time_point Pace::due(std::size_t index) const {
  return started_ + spread_ * static_cast<long>(index) / static_cast<long>(kubelets_);
}

config::Duration Pace::limit(std::size_t index, Clock::time_point now) const {
  if (now - due(index) <= whole_ / 10) return limit_;
  const auto left = std::chrono::floor<config::Duration>(started_ + usable(whole_) - now);
  const config::Duration min = std::min(whole_ / 50, limit_);
  return std::clamp(left / (kRequests * rows(index)), min, limit_);
}

long Pace::rows(std::size_t index) const {
  return static_cast<long>((kubelets_ - index + concurrency_ - 1) / concurrency_);
}

}  // namespace vitalsd::kubernetes
