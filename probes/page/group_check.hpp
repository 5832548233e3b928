// Decides whether the lines of a family satisfy the rules that OpenMetrics has for its type, so
// that a strict parser accepts the page. Pure.
#pragma once

#include "exporter/model/metric.hpp"
#include "probes/page/series_set.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>

namespace vitalsd::page {

/// The meaning of a line within its family.
enum class Role : unsigned char { value, bucket, count, sum };

class GroupCheck {
 public:
  /// The name of the label that distinguishes the lines of a group; empty if there is none.
  static std::string_view bound_label(Type type, Role role, std::string_view family);

  /// The rules for lines of a family of this type, as a text for the author of the page.
  static std::string_view rule_of(Type type);

  /// Checks the next line. `group` is the hash of the line's labels without `bound`. `bound` is the
  /// value of the label that distinguishes the lines of a group (le, quantile, or the name of a
  /// stateset); null if the line does not have that label.
  void take(Type type, Role role, std::uint64_t group, const std::string_view* bound,
            std::string_view value);

  /// Returns whether all lines are valid for their type, after the counts are replaced by those of
  /// take_count(). Must be called after the last line.
  [[nodiscard]] bool finish();

  /// Returns the value of the last bucket if it differs from the count of the group that take() or
  /// finish() has ended; otherwise an empty text.
  [[nodiscard]] std::string take_count() { return std::exchange(other_count_, {}); }

 private:
  void take_value(Type type, const std::string_view* bound, std::string_view value);
  void take_bucket(const std::string_view* bound, double value, std::string_view text);
  void close();
  void require(bool condition) { valid_ = valid_ && condition; }

  bool valid_ = true;
  bool is_histogram_ = false;
  SeriesSet seen_;
  // The following members describe the current group.
  std::optional<std::uint64_t> group_;
  std::optional<double> bound_;  // of the last bucket
  double buckets_ = 0;           // the value of the last bucket
  std::string last_bucket_;      // the same as text, once the bound is infinite
  std::optional<double> count_;
  bool has_sum_ = false;
  bool has_negative_bounds_ = false;
  std::string other_count_;
};

}  // namespace vitalsd::page
