// Of several replicas, which one observes: whoever holds a Lease of the Kubernetes API
// (https://kubernetes.io/docs/concepts/architecture/leases/). The holder renews it; a replica that
// has seen no renewal for its whole duration, by its own clock, takes it over. No clocks need to
// agree. Probe loop only.
#pragma once

#include "config/settings.hpp"
#include "daemon/leadership.hpp"
#include "probes/services.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/cancellation_signal.hpp>

namespace vitalsd {

/// How long a lease is good for, and how often its holder renews it: the other replica takes over
/// at most their sum, and the time of a request, after the holder was last heard of. Tests are in a
/// greater hurry than people.
struct ElectionPace {
  std::chrono::milliseconds duration{11'000};
  std::chrono::milliseconds period{2'000};
  std::chrono::milliseconds limit{5'000};  ///< for one attempt
};

class Election {
 public:
  /// `on_change` is told when we have become the leader, and when we are it no longer.
  Election(ProbeServices& services, config::ElectionSettings settings, Leadership& leadership,
           std::function<void(bool leads)> on_change, const ElectionPace& pace = {});
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  /// Gives the lease back, so that the other replica need not wait for its end. Then nothing is
  /// published any more; idle() tells when the API server knows.
  void resign();
  [[nodiscard]] bool idle() const { return !attempt_; }

 private:
  struct Attempt;
  struct Lease;

  void try_now();
  void give_back();
  asio::awaitable<void> campaign(std::shared_ptr<Attempt> attempt);
  asio::awaitable<void> write(std::shared_ptr<Attempt> attempt, Lease lease);
  [[nodiscard]] bool has_run_out(const Lease& lease);
  void ended(const std::exception_ptr& error);
  void won(Leadership::Clock::time_point asked);
  void lost(const std::string& why);

  ProbeServices& services_;
  config::ElectionSettings settings_;
  Leadership& leadership_;
  std::function<void(bool)> on_change_;
  ElectionPace pace_;
  std::string identity_;
  bool leads_ = false;
  bool resigning_ = false;
  std::string trouble_;                          // what was last logged
  std::string last_seen_;                        // the lease's version
  Leadership::Clock::time_point last_change_{};  // when we first saw that one
  std::shared_ptr<Attempt> attempt_;
  net::Timer next_timer_;
  net::Timer limit_timer_;
  net::Timer end_timer_;
};

}  // namespace vitalsd
