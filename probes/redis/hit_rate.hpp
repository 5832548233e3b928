// The share of lookups in the last minutes that found their key, computed from the server's
// counters. The counters are reset when the server restarts. The average since the start of the
// server would hide a cache that has just become ineffective. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd {

class HitRateWindow {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::minutes kWindow{5};
  /// If the window has fewer lookups, there is no rate.
  static constexpr double kMinLookups = 10;

  /// Adds the current values of the server's counters. A different `run_id` means that the server
  /// has restarted.
  void add(Time now, std::string_view run_id, double hits, double misses);

  /// Records lookups that the probe itself made since the last add(). The next add() subtracts
  /// them.
  void exclude(double hits, double misses) {
    own_hits_ += hits;
    own_misses_ += misses;
  }

  /// Hits divided by lookups in the window that ends with the last add(), or in the part of the
  /// window for which there is data. Returns nothing if there were fewer than kMinLookups.
  [[nodiscard]] std::optional<double> rate() const;

 private:
  struct Point {
    Time time;
    double hits;  // since the first add(), across restarts of the server
    double misses;
  };

  std::deque<Point> points_;  // the first one is the start of the window
  std::string run_id_;
  double last_hits_ = 0;  // the server's counters at the last add()
  double last_misses_ = 0;
  double own_hits_ = 0;  // to be subtracted by the next add()
  double own_misses_ = 0;
};

}  // namespace vitalsd
