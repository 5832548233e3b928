// When a job has to run, and whether it is late.
#pragma once

#include "config/node.hpp"
#include "probes/job/history.hpp"
#include "probes/kubernetes/objects/cron_schedule.hpp"

#include <optional>
#include <string>
#include <utility>

namespace vitalsd::job {

class Timetable {
 public:
  /// Reads `schedule`, `time_zone`, `start_grace` and `max_duration`. Reads local files: see
  /// CronSchedule.
  explicit Timetable(config::Node& options);

  struct Lateness {
    double seconds = 0;  ///< beyond the deadline; 0: the job is not late
    std::string what{};  ///< what was expected and when; empty if the job is not late
  };

  /// A run that has started must end within max_duration. Otherwise a run must start, or end if the
  /// job has never reported a start, in time after each time of the schedule.
  Lateness judge(History& history, double now);

 private:
  [[nodiscard]] std::optional<double> due_after(double time);

  std::optional<kubernetes::CronSchedule> schedule_;  // empty if the options are invalid
  double start_grace_ = 0;                            // seconds, like max_duration_
  double max_duration_ = 0;
  std::optional<std::pair<double, std::optional<double>>> known_due_;  // the last result
};

}  // namespace vitalsd::job
