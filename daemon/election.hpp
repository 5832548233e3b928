// Leader election: of several replicas, only the holder of a Lease of the Kubernetes API observes
// (https://kubernetes.io/docs/concepts/architecture/leases/). The holder renews the lease. Another
// replica acquires the lease if it has seen no renewal for the whole duration, measured by its own
// clock, so clocks need not agree. Probe loop only.
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

/// Durations. Another replica takes over at most `duration` + 2 * `period` + the time of the
/// requests after the last renewal. Tests use shorter durations.
struct ElectionPace {
  std::chrono::milliseconds duration{11'000};  ///< of a lease
  std::chrono::milliseconds period{2'000};     ///< between attempts to renew or acquire
  std::chrono::milliseconds timeout{5'000};    ///< of one attempt
};

class Election {
 public:
  /// Starts the election. `on_change` is called with true when this replica becomes the leader, and
  /// with false when it loses the lease.
  Election(ProbeServices& services, config::ElectionSettings settings, Leadership& leadership,
           std::function<void(bool leads)> on_change, const ElectionPace& pace = {});
  ~Election();
  Election(const Election&) = delete;
  Election& operator=(const Election&) = delete;

  /// Stops publishing and releases the lease, so that another replica does not wait until the lease
  /// expires. idle() is true when the API server has confirmed the release, or the request has
  /// failed.
  void resign();
  [[nodiscard]] bool idle() const { return !attempt_; }

 private:
  struct Attempt;
  struct Lease;

  void start_attempt();
  void release();
  asio::awaitable<void> renew_or_acquire(std::shared_ptr<Attempt> attempt);
  asio::awaitable<void> write(std::shared_ptr<Attempt> attempt, Lease lease);
  [[nodiscard]] bool has_expired(const Lease& lease);
  void end_attempt(const std::exception_ptr& error);
  void win(Leadership::Clock::time_point requested_at);
  void lose(const std::string& reason);

  ProbeServices& services_;
  config::ElectionSettings settings_;
  Leadership& leadership_;
  std::function<void(bool)> on_change_;
  ElectionPace pace_;
  std::string identity_;
  bool is_leader_ = false;
  bool is_resigning_ = false;
  std::string error_;                            // the last one that was logged
  std::string last_version_;                     // of the lease
  Leadership::Clock::time_point last_change_{};  // when last_version_ was first seen
  std::shared_ptr<Attempt> attempt_;
  net::Timer next_timer_;
  net::Timer timeout_timer_;
  net::Timer expiry_timer_;
};

}  // namespace vitalsd
