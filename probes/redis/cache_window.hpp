// What happened to a cache in the last minutes: the share of lookups that found their key, and keys
// that were evicted. Computed from the server's counters. The counters are reset when the server
// restarts. The average since the start of the server would hide a cache that has just become
// ineffective. Pure.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd {

class CacheWindow {
 public:
  using Time = std::chrono::steady_clock::time_point;
  static constexpr std::chrono::minutes kWindow{5};
  /// If the window has fewer lookups, there is no rate.
  static constexpr double kMinLookups = 10;
  /// If the rate is not known more exactly than this, because other clients use LLEN, there is
  /// none.
  static constexpr double kMaxUncertainty = 0.01;

  /// The server's counters. LLEN counts as a lookup in every version of Redis, and no command that
  /// returns the length of a list is without a count.
  struct Counters {
    double hits = 0;
    double misses = 0;
    double list_lengths = 0;  ///< calls of LLEN by all clients
    double evictions = 0;     ///< keys
  };

  /// Adds the current values. A different `run_id` means that the server has restarted.
  void add(Time now, std::string_view run_id, const Counters& counters);

  /// Records a call of LLEN by the probe itself since the last add(). The next add() subtracts it.
  void exclude(bool hit) {
    ++(hit ? own_.hits : own_.misses);
    ++own_.list_lengths;
  }

  /// Hits divided by lookups in the window that ends with the last add(), or in the part of the
  /// window for which there is data. Returns nothing if there were fewer than kMinLookups. Calls of
  /// LLEN by other clients, such as another vitalsd, are no use of a cache, but the server does not
  /// report how many of them found their key. The rate is therefore between two bounds. Returns the
  /// upper one, so that no such call lets an alert fire, or nothing if they are too far apart.
  [[nodiscard]] std::optional<double> hit_rate() const;

  /// Keys that were evicted in the window.
  [[nodiscard]] double evictions() const;

 private:
  struct Point {
    Time time;
    Counters sums;  // since the first add(), across restarts of the server, without own_
  };

  std::deque<Point> points_;  // the first one is the start of the window
  std::string run_id_;
  Counters last_;  // of the last add()
  Counters own_;   // to be subtracted by the next add()
};

}  // namespace vitalsd
