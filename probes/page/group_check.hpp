// Decides whether the lines of a family satisfy the rules that OpenMetrics has for its type, so
// that a strict parser accepts the page. Pure.
#pragma once

#include "exporter/model/metric.hpp"
#include "probes/page/series_set.hpp"

#include <cstdint>
#include <optional>
#include <string_view>

namespace vitalsd::page {

/// What a line of a family is.
enum class Role : unsigned char { value, bucket, count, sum };

class GroupCheck {
 public:
  /// Takes the next line. `group`: the hash of its labels without `bound`, which is the value of
  /// the label that distinguishes the lines of a group (le, quantile, or the name of a stateset),
  /// null if the line does not have it.
  void take(Type type, Role role, std::uint64_t group, const std::string_view* bound,
            std::string_view value);

  /// Whether all lines are valid for their type. Call it after the last line.
  [[nodiscard]] bool finish();

 private:
  void take_value(Type type, const std::string_view* bound, std::string_view value);
  void take_bucket(const std::string_view* bound, double value);
  void close();
  void require(bool condition) { valid_ = valid_ && condition; }

  bool valid_ = true;
  bool is_histogram_ = false;
  SeriesSet seen_;
  // Of the current group:
  std::optional<std::uint64_t> group_;
  std::optional<double> bound_;  // of the last bucket
  double buckets_ = 0;           // its value
  std::optional<double> count_;
  bool has_sum_ = false;
  bool has_negative_bounds_ = false;
};

}  // namespace vitalsd::page
