#include "probes/kubernetes/objects/cron_schedule.hpp"

#include "probes/kubernetes/objects/excerpt.hpp"
#include "probes/kubernetes/objects/zone_clock.hpp"

#include <utility>

namespace vitalsd::kubernetes {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

using Error = std::unexpected<std::string>;

}  // namespace

std::expected<CronSchedule, std::string> CronSchedule::parse(std::string_view schedule,
                                                             std::string_view time_zone) {
  CronSchedule result;
  if (schedule.contains("TZ")) {  // the same check as in the API server
    return Error("schedule " + excerpt(schedule) + ": set the time zone in timeZone");
  }
  if (!time_zone.empty()) {
    const auto zone = find_zone(time_zone);
    if (!zone) return Error(zone.error());
    result.zone_ = *zone;
  }
  auto expression = CronExpression::parse(schedule);
  if (!expression) return Error(std::move(expression.error()));
  result.expression_ = *expression;
  return result;
}

/// Moves forward from a time to the first time that matches: by months, then by days, hours,
/// minutes and seconds. When a field wraps around, the search continues with the months. Steps of
/// an hour or less are elapsed time. When clocks are set back, some hours occur twice, and the
/// schedule matches both times; when clocks are set forward, some hours are skipped, and the
/// schedule does not match in them.
class CronSchedule::Search {
 public:
  Search(const CronSchedule& schedule, sys_seconds from) : schedule_(schedule) { go_to(from); }

  std::optional<sys_seconds> run() {
    constexpr int kYears = 5;
    const std::chrono::year last = now_.date.year() + std::chrono::years(kYears);
    while (now_.date.year() <= last && steps_ < kMaxSteps) {
      if (step_to_match()) return time_;
    }
    return std::nullopt;
  }

 private:
  // Enough for the days of 6 years plus hours and minutes. The limit is needed where a zone skips a
  // whole day (Samoa in 2011): Go maps this day to the day before, so Go's search never ends there.
  static constexpr int kMaxSteps = 20'000;

  void go_to(sys_seconds time) {
    time_ = time;
    now_ = wall_clock(schedule_.zone_, time);
    ++steps_;
  }

  /// Moves to the start of a unit of time before the first step. After the first step the search is
  /// always at such a start.
  void start_at(sys_seconds time) {
    if (!std::exchange(started_, true)) go_to(time);
  }

  [[nodiscard]] sys_seconds local(sys_days date, seconds time) const {
    return time_at(schedule_.zone_, date, time);
  }

  [[nodiscard]] bool matches(CronExpression::Field field, unsigned value) const {
    return schedule_.expression_.matches(field, value);
  }

  /// If both day fields are restricted, one of them must match; otherwise both must match.
  [[nodiscard]] bool day_matches() const {
    const bool of_month = matches(CronExpression::day, now_.day());
    const bool of_week = matches(CronExpression::weekday, now_.weekday());
    const bool has_star = schedule_.expression_.has_star(CronExpression::day) ||
                          schedule_.expression_.has_star(CronExpression::weekday);
    return has_star ? of_month && of_week : of_month || of_week;
  }

  /// Returns false if a field wrapped around. Fields that matched are not checked again, even if a
  /// missing midnight led to another day, because the controller does not check them either.
  bool step_to_match() {
    while (!matches(CronExpression::month, now_.month())) {
      start_at(local(sys_days(now_.date.year() / now_.date.month() / 1), seconds(0)));
      const auto next = now_.date.year() / now_.date.month() + std::chrono::months(1);
      go_to(local(sys_days(next / 1) + days(now_.day() - 1), now_.time));
      if (now_.month() == 1) return false;
    }
    while (!day_matches()) {
      start_at(local(now_.date, seconds(0)));
      go_to(local(sys_days(now_.date) + days(1), now_.time));
      // Instead of a midnight that does not exist, the clock shows 23:00 or 1:00.
      const int hour = now_.hour();
      if (hour != 0) go_to(time_ + hours(hour > 12 ? 24 - hour : -hour));
      if (now_.day() == 1 || steps_ >= kMaxSteps) return false;
    }
    while (!matches(CronExpression::hour, static_cast<unsigned>(now_.hour()))) {
      start_at(local(now_.date, hours(now_.hour())));
      go_to(time_ + hours(1));
      if (now_.hour() == 0) return false;
    }
    while (!matches(CronExpression::minute, static_cast<unsigned>(now_.minute()))) {
      start_at(std::chrono::floor<minutes>(time_));
      go_to(time_ + minutes(1));
      if (now_.minute() == 0) return false;
    }
    while (now_.second() != 0) {
      started_ = true;
      go_to(time_ + seconds(1));
      if (now_.second() == 0) return false;
    }
    return true;
  }

  const CronSchedule& schedule_;
  sys_seconds time_;
  WallClock now_{};
  bool started_ = false;
  int steps_ = 0;
};

std::optional<double> CronSchedule::next(double after) const {
  constexpr double kYear10000 = 253402300800;
  if (!(after >= 0 && after < kYear10000)) return std::nullopt;
  const sys_seconds from(seconds(static_cast<std::int64_t>(after)));
  const std::optional<sys_seconds> found = expression_.every > seconds(0)
                                               ? from + expression_.every
                                               : Search(*this, from + seconds(1)).run();
  if (!found) return std::nullopt;
  return static_cast<double>(found->time_since_epoch().count());
}

int CronSchedule::missed(double last, double now, int max) const {
  int count = 0;
  for (auto time = next(last); count < max && time && *time <= now; time = next(*time)) ++count;
  return count;
}

}  // namespace vitalsd::kubernetes
