// When each of many kubelets is asked within a run, and how long it has: those that hang must not
// take the others' time, nor a slow one be cut off without need. Pure.
#pragma once

#include "config/scalar.hpp"

#include <chrono>
#include <cstddef>

namespace vitalsd::kubernetes {

class Pace {
 public:
  using Clock = std::chrono::steady_clock;

  /// For a run that began then, may take `whole`, and asks that many, `concurrency` at a time.
  Pace(Clock::time_point began, config::Duration whole, std::size_t kubelets,
       std::size_t concurrency);

  /// When the one of that index is to be asked: at once if all can be, else spread over half of the
  /// time.
  [[nodiscard]] Clock::time_point due(std::size_t index) const;

  /// For each request to the one of that index, if it is asked now. Who is late, for the sake of
  /// others that hang, has less patience: all shall have had their turn in this run.
  [[nodiscard]] config::Duration limit(std::size_t index, Clock::time_point now) const;

 private:
  /// How often all workers must be done with one until those from that index on have been asked.
  [[nodiscard]] long rows(std::size_t index) const;

  Clock::time_point began_;
  config::Duration whole_;
  std::size_t kubelets_;
  std::size_t concurrency_;
  config::Duration spread_{0};
  config::Duration limit_{0};  // of those that are in time
};

}  // namespace vitalsd::kubernetes
