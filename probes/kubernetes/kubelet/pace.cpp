#include "probes/kubernetes/kubelet/pace.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

using namespace std::chrono_literals;

constexpr int kRequests = 2;                // to a kubelet, one after the other
constexpr config::Duration kPatience = 3s;  // that a kubelet has in any case, where there is time

// A limit of nothing would be none to the HTTP client. A run that is shorter ends by itself.
constexpr config::Duration kShortest = 100ms;

// The rest is for the end of the run.
config::Duration usable(config::Duration time) { return time * 9 / 10; }

}  // namespace

Pace::Pace(Clock::time_point began, config::Duration whole, std::size_t kubelets,
           std::size_t concurrency)
    : began_(began),
      whole_(std::max(whole, kShortest)),
      kubelets_(kubelets),
      concurrency_(concurrency) {
  if (rows(0) > 1) spread_ = whole_ / 2;
  limit_ = std::clamp(usable(whole_ - spread_) / std::max(rows(0), 1L),
                      std::min(whole_ * 4 / 10, kPatience), usable(whole_));
}

Pace::Clock::time_point Pace::due(std::size_t index) const {
  return began_ + spread_ * static_cast<long>(index) / static_cast<long>(kubelets_);
}

config::Duration Pace::limit(std::size_t index, Clock::time_point now) const {
  if (now - due(index) <= whole_ / 10) return limit_;
  const auto left = std::chrono::floor<config::Duration>(began_ + usable(whole_) - now);
  const config::Duration min = std::min(whole_ / 50, limit_);
  return std::clamp(left / (kRequests * rows(index)), min, limit_);
}

long Pace::rows(std::size_t index) const {
  return static_cast<long>((kubelets_ - index + concurrency_ - 1) / concurrency_);
}

}  // namespace vitalsd::kubernetes
