#include "probes/job/timetable.hpp"

#include "config/scalar.hpp"

#include <algorithm>
#include <chrono>
#include <ctime>
#include <expected>
#include <string>

#include <fmt/chrono.h>
#include <fmt/format.h>

namespace vitalsd::job {

namespace {

using namespace std::chrono_literals;

// A run that starts at most this much before a scheduled time belongs to that time: the clock of
// the machine that starts it is ahead.
constexpr double kEarly = 30;  // seconds

std::string time_text(double seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

double to_seconds(config::Duration time) { return std::chrono::duration<double>(time).count(); }

}  // namespace

Timetable::Timetable(config::Node& options) {
  const auto text = options.required<std::string>(
      "schedule", "when the job runs: a cron expression as in a CronJob, or \"@every 1h\"");
  const auto zone =
      options.get<std::string>("time_zone", "", "time zone of the schedule; default: UTC");
  start_grace_ = to_seconds(options.get<config::Duration>(
      "start_grace", 10min, "how late a run may start", {0s, 24h * 366}));
  max_duration_ = to_seconds(options.get<config::Duration>(
      "max_duration", 1h, "how long a run may take", {1s, 24h * 366}));
  if (const auto in_zone = kubernetes::CronSchedule::parse("@daily", zone); !in_zone) {
    options.error("time_zone", in_zone.error());
    return;
  }
  if (text.empty()) return;  // missing, which is reported already
  if (text.contains("TZ=")) {
    options.error("schedule", "set the time zone in time_zone");
    return;
  }
  if (text.starts_with("@every") &&
      (text.contains('-') || text.find_first_of("123456789") == std::string::npos)) {
    options.error("schedule", "the interval of @every must be above 0");
    return;
  }
  const auto parsed = kubernetes::CronSchedule::parse(text, zone);
  if (!parsed) {
    options.error("schedule", parsed.error());
  } else if (!parsed->next(static_cast<double>(std::time(nullptr)))) {
    options.error("schedule", config::quoted(text) + " matches no time of the next five years");
  } else {
    schedule_ = *parsed;
  }
}

std::optional<double> Timetable::due_after(double time) {
  if (!known_due_ || known_due_->first != time) known_due_ = {time, schedule_->next(time)};
  return known_due_->second;
}

Timetable::Lateness Timetable::judge(History& history, double now) {
  if (const std::optional<double> start = history.running_since()) {
    if (now <= *start + max_duration_) return {};
    return {now - *start - max_duration_,
            fmt::format("the run that started at {} has not ended", time_text(*start))};
  }
  const std::optional<double> due = due_after(history.last_heard(now) + kEarly);
  const bool reports_starts = history.last_start().has_value();
  const double grace = start_grace_ + (reports_starts ? 0 : max_duration_);
  if (!due || now <= *due + grace) return {};
  return {now - *due - grace, fmt::format("the run of {} has not {}", time_text(*due),
                                          reports_starts ? "started" : "ended")};
}

}  // namespace vitalsd::job
