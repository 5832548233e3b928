// The share of look-ups that hit, over the last minutes, from counters that are read now and then
// and start anew with the server. A lifetime average would hide a cache that has just gone cold.
// Pure.
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
  /// Fewer look-ups than this in the window say nothing.
  static constexpr double kFewest = 10;

  /// Takes the server's counters as they are now; `run_id` tells one life of the server from the
  /// next.
  void add(Time now, std::string_view run_id, double hits, double misses);

  /// Look-ups of our own since the last add(): the next one leaves them out.
  void exclude(double hits, double misses) {
    own_hits_ += hits;
    own_misses_ += misses;
  }

  /// Hits / look-ups within the window that ends with the last add(), or within what is known of
  /// it; nothing if there were too few.
  [[nodiscard]] std::optional<double> rate() const;

 private:
  struct Point {
    Time time;
    double hits;  // since this window began, over all lives of the server
    double misses;
  };

  std::deque<Point> points_;  // the first one is the window's beginning
  std::string run_id_;
  double last_hits_ = 0;  // the server's own counters
  double last_misses_ = 0;
  double own_hits_ = 0;
  double own_misses_ = 0;
};

}  // namespace vitalsd
