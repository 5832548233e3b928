// Metrics about Prometheus on its own page /metrics: whether its notifications reach the
// Alertmanagers. The page is read directly, because not every Prometheus scrapes itself. Pure.
#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd::prometheus {

/// Reads the page while it arrives.
class OwnMetrics {
 public:
  struct Notifications {
    double sent = 0;    ///< alerts, including those that could not be delivered
    double errors = 0;  ///< requests that failed; since Prometheus 3.1 the number of alerts in them
  };

  /// Parses a piece. Throws ProbeError(protocol) for more than 64 MiB or 1,000 Alertmanagers.
  void feed(std::string_view bytes);
  /// Must be called after the last piece. Throws ProbeError(mismatch) if the page is not that of a
  /// Prometheus that sends alerts.
  void finish();

  /// The notifications by the URL of the Alertmanager.
  [[nodiscard]] const std::map<std::string, Notifications>& notifications() const {
    return notifications_;
  }
  [[nodiscard]] Notifications sums() const;
  /// The number of alerts that reached no Alertmanager.
  [[nodiscard]] double dropped() const { return dropped_.value_or(0); }
  /// The number of rule evaluations that failed.
  [[nodiscard]] double rule_failures() const { return rule_failures_; }

 private:
  void take(std::string_view line);
  Notifications& of(std::string_view line);

  std::size_t size_ = 0;
  std::string line_;       // the received part of a line
  bool skipping_ = false;  // the rest of a line that is too long
  std::map<std::string, Notifications> notifications_;
  std::optional<double> dropped_;
  double rule_failures_ = 0;
};

/// The increase of a counter within the last five minutes. The counter may be reset to 0.
class RecentIncrease {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::minutes kWindow{5};

  /// Adds the current value. Returns nothing if the increase is unknown: after the first value,
  /// unless the counter is 0.
  std::optional<double> update(Clock::time_point now, double value);

 private:
  struct Point {
    Clock::time_point time;
    double total;  // since the first value
  };
  std::deque<Point> points_;  // the first one is the start of the window
  double last_ = 0;
};

/// For how long alerts have been dropped. A Prometheus that has just started drops some alerts
/// before it has discovered its Alertmanagers, and delivers them when it sends them again.
class Undelivered {
 public:
  using Clock = RecentIncrease::Clock;

  /// Adds the current values, which are sums over all Alertmanagers. Returns the seconds from the
  /// first to the last time at which alerts were dropped; 0 if alerts have been delivered since
  /// then. Returns nothing after the first values, unless no alert was ever dropped.
  std::optional<double> update(Clock::time_point now, const OwnMetrics::Notifications& sums,
                               double dropped);

 private:
  struct Values {
    OwnMetrics::Notifications sums;
    double dropped;
  };
  std::optional<Values> previous_;
  std::optional<Clock::time_point> first_;  // set while alerts are dropped
  Clock::time_point last_;
};

}  // namespace vitalsd::prometheus
