// When a CronJob runs next. Computes it as the controller does (robfig/cron v3.0.1, Next),
// including its behavior when clocks change: the result is when the job will run, which is not
// always when it should run.
#pragma once

#include "probes/kubernetes/objects/cron_expression.hpp"

#include <expected>
#include <optional>
#include <string>
#include <string_view>

namespace date {
class time_zone;  // NOLINT(*-identifier-naming)
}

namespace vitalsd::kubernetes {

class CronSchedule {
 public:
  /// Parses a CronJob's `schedule` and `timeZone`. An empty zone is UTC, the time zone of the
  /// controller manager. Returns an error message if they are invalid or there is no time zone
  /// database. Stricter than the controller: "TZ=" in the schedule, which the API accepts for old
  /// objects only, and a field that lists nothing (",") are errors. Reads local files; see
  /// find_zone().
  static std::expected<CronSchedule, std::string> parse(std::string_view schedule,
                                                        std::string_view time_zone);

  /// The first time of the schedule after `after`, both in Unix seconds. Returns nothing if there
  /// is no such time within five years (February 30), or if `after` is before 1970 or after 9999.
  /// Takes at most 20,000 steps, which need some milliseconds.
  [[nodiscard]] std::optional<double> next(double after) const;

  /// The number of scheduled times after `last` and up to `now`, both in Unix seconds: the runs
  /// that a CronJob has missed if its last run was at `last`. At most `max`.
  [[nodiscard]] int missed(double last, double now, int max) const;

 private:
  class Search;

  CronExpression expression_;
  const date::time_zone* zone_ = nullptr;  // null: UTC
};

}  // namespace vitalsd::kubernetes
