// Start times and time limits of the requests to many kubelets within one run. Kubelets that hang
// must not use up the time of the others, and a slow kubelet gets as much time as is left. Pure.
#pragma once

#include "config/scalar.hpp"

#include <chrono>
#include <cstddef>

namespace vitalsd::kubernetes {

class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  /// For a run of length `whole` that queries `kubelets` nodes, `concurrency` of them at a time.
  Pace(Clock::time_point started, config::Duration whole, std::size_t kubelets,
       std::size_t concurrency);

  /// When to query the kubelet with this index: immediately if all fit into `concurrency`,
  /// otherwise spread over half of the run.
  [[nodiscard]] Clock::time_point due(std::size_t index) const;

  /// The limit of each request to the kubelet with this index, if its query starts at `now`. A
  /// query that starts late, because others hang, gets a shorter limit, so that the run reaches all
  /// kubelets.
  [[nodiscard]] config::Duration limit(std::size_t index, Clock::time_point now) const;

 private:
  /// The number of kubelets that one worker still has to query, if those from this index on are
  /// left.
  [[nodiscard]] long rows(std::size_t index) const;

  Clock::time_point started_;
  config::Duration whole_;
  std::size_t kubelets_;
  std::size_t concurrency_;
  config::Duration spread_{0};
  config::Duration limit_{0};  // for queries that start on time
};

}  // namespace vitalsd::kubernetes
