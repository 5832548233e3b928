#include "probes/kubernetes/objects/cron_schedule.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <exception>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

#include <date/tz.h>

namespace vitalsd::kubernetes {

namespace {

using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;
using std::chrono::seconds;
using std::chrono::sys_days;
using std::chrono::sys_seconds;

using Error = std::unexpected<std::string>;

/// As much of foreign text as an error should repeat.
std::string quoted(std::string_view text) {
  constexpr std::size_t kMax = 64;
  return '"' + std::string(text.substr(0, kMax)) + (text.size() > kMax ? "...\"" : "\"");
}

// ---- reading -----------------------------------------------------------------------------------

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sun", "mon", "tue", "wed",
                                                       "thu", "fri", "sat"};

struct FieldRule {
  std::string_view name;
  std::uint64_t min;
  std::uint64_t max;
  std::span<const std::string_view> names = {};  // of the values from `least` on
};

constexpr std::array kRules = {
    FieldRule{"minute", 0, 59},
    FieldRule{"hour", 0, 23},
    FieldRule{"day of month", 1, 31},
    FieldRule{"month", 1, 12, kMonths},
    FieldRule{"day of week", 0, 6, kWeekdays},
};

constexpr std::array<std::pair<std::string_view, std::string_view>, 7> kDescriptors = {{
    {"@yearly", "0 0 1 1 *"},
    {"@annually", "0 0 1 1 *"},
    {"@monthly", "0 0 1 * *"},
    {"@weekly", "0 0 * * 0"},
    {"@daily", "0 0 * * *"},
    {"@midnight", "0 0 * * *"},
    {"@hourly", "0 * * * *"},
}};

/// The pieces between separators; empty ones too, unless they are to be skipped.
std::vector<std::string_view> split(std::string_view text, std::string_view separators,
                                    bool skip_empty) {
  std::vector<std::string_view> pieces;
  while (true) {
    const std::size_t end = text.find_first_of(separators);
    const std::string_view piece = text.substr(0, end);
    if (!piece.empty() || !skip_empty) pieces.push_back(piece);
    if (end == std::string_view::npos) return pieces;
    text.remove_prefix(end + 1);
  }
}

/// A number as Go's Atoi reads it, if it is none below 0.
std::optional<std::uint64_t> to_count(std::string_view text) {
  if (text.starts_with('+')) {
    text.remove_prefix(1);
    if (text.starts_with('-')) return std::nullopt;
  }
  std::int64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return static_cast<std::uint64_t>(value);
}

std::optional<std::uint64_t> to_value(std::string_view text, const FieldRule& rule) {
  std::string lower(text);
  for (char& c : lower) {
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  }
  const auto name = std::ranges::find(rule.names, lower);
  if (name != rule.names.end()) {
    return rule.min + static_cast<std::uint64_t>(name - rule.names.begin());
  }
  return to_count(text);
}

/// One item of a field's list: "*", "5", "1-5", each with "/2" or not. `star` is the bit for "*".
std::expected<std::uint64_t, std::string> parse_item(std::string_view item, const FieldRule& rule,
                                                     std::uint64_t star) {
  const auto bad = [&](std::string_view why) {
    return Error(std::string(rule.name) + ' ' + quoted(item) + ": " + std::string(why));
  };
  const std::vector<std::string_view> parts = split(item, "/", false);
  if (parts.size() > 2) return bad("more than one step");
  const std::vector<std::string_view> bounds = split(parts[0], "-", false);

  std::optional<std::uint64_t> first = rule.min;
  std::optional<std::uint64_t> last = rule.max;
  std::uint64_t bits = 0;
  if (bounds[0] == "*" || bounds[0] == "?") {
    bits = star;
  } else {
    if (bounds.size() > 2) return bad("more than two ends of a range");
    first = to_value(bounds[0], rule);
    // "5/10" goes on to the end, "5" does not.
    if (bounds.size() == 2) {
      last = to_value(bounds[1], rule);
    } else if (parts.size() == 1) {
      last = first;
    }
  }
  std::optional<std::uint64_t> step = 1;
  if (parts.size() == 2) step = to_count(parts[1]);
  if (!first || !last || !step) return bad("not a number");
  if (*first < rule.min || *last > rule.max) {
    return bad("not in " + std::to_string(rule.min) + " to " + std::to_string(rule.max));
  }
  if (*first > *last) return bad("the range ends before it begins");
  if (*step == 0) return bad("a step of 0");
  if (*step > 1) bits = 0;  // "*/2" is not every day
  for (std::uint64_t value = *first; value <= *last; value += *step) {
    bits |= std::uint64_t{1} << value;
  }
  return bits;
}

/// Go's time.ParseDuration, in whole seconds; negative ones are 0. Nothing for what it refuses.
std::optional<seconds> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 8> kUnits = {{{"ns", 1},
                                                                          {"us", 1e3},
                                                                          {"\u00b5s", 1e3},
                                                                          {"\u03bcs", 1e3},
                                                                          {"ms", 1e6},
                                                                          {"s", 1e9},
                                                                          {"m", 60e9},
                                                                          {"h", 3600e9}}};
  constexpr double kMax = 9.2e18;  // 292 years in nanoseconds: all that a Duration holds

  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  if (text == "0") return seconds(0);
  if (text.empty()) return std::nullopt;
  double sum = 0;
  std::int64_t nanoseconds = 0;
  while (!text.empty()) {
    if (text[0] != '.' && (text[0] < '0' || text[0] > '9')) return std::nullopt;
    double number = 0;
    const auto [end, error] =
        std::from_chars(text.data(), text.data() + text.size(), number, std::chars_format::fixed);
    if (error != std::errc()) return std::nullopt;
    text.remove_prefix(static_cast<std::size_t>(end - text.data()));
    const std::string_view unit = text.substr(0, text.find_first_of(".0123456789"));
    const auto* const found =
        std::ranges::find(kUnits, unit, &std::pair<std::string_view, double>::first);
    if (found == kUnits.end()) return std::nullopt;
    sum += number * found->second;
    if (!(sum < kMax)) return std::nullopt;
    nanoseconds += std::llround(number * found->second);
    text.remove_prefix(unit.size());
  }
  return negative ? seconds(0) : seconds(nanoseconds / 1'000'000'000);
}

// ---- clocks ------------------------------------------------------------------------------------

std::expected<const date::time_zone*, std::string> find_zone(std::string_view name) {
  constexpr const char* kNoDatabase = "no database of time zones (Debian: package tzdata)";
  try {
    if (date::get_tzdb().zones.empty()) return Error(kNoDatabase);
  } catch (const std::exception&) {
    return Error(kNoDatabase);
  }
  const date::time_zone* zone = nullptr;
  try {
    zone = date::locate_zone(name);
  } catch (const std::exception&) {
    return Error("unknown time zone " + quoted(name));
  }
  try {
    (void)zone->get_info(sys_seconds());  // the zone's file is read at its first use
  } catch (const std::exception& error) {
    return Error("time zone " + quoted(name) + " cannot be read: " + error.what());
  }
  return zone;
}

/// A stretch of time during which a zone's clocks are the same distance from UTC.
struct Stretch {
  sys_seconds begin;
  sys_seconds end;
  seconds offset;
};

Stretch stretch_at(const date::time_zone* zone, sys_seconds time) {
  if (zone == nullptr) return {sys_seconds::min(), sys_seconds::max(), seconds(0)};
  const date::sys_info info = zone->get_info(time);
  return {info.begin, info.end, info.offset};
}

/// What a clock of the zone shows.
struct WallClock {
  std::chrono::year_month_day date;
  seconds time;  // since midnight

  [[nodiscard]] unsigned month() const { return static_cast<unsigned>(date.month()); }
  [[nodiscard]] unsigned day() const { return static_cast<unsigned>(date.day()); }
  [[nodiscard]] unsigned weekday() const {
    return std::chrono::weekday(sys_days(date)).c_encoding();
  }
  [[nodiscard]] int hour() const { return static_cast<int>(time / hours(1)); }
  [[nodiscard]] int minute() const { return static_cast<int>(time % hours(1) / minutes(1)); }
  [[nodiscard]] int second() const { return static_cast<int>((time % minutes(1)).count()); }
};

WallClock wall_clock(const date::time_zone* zone, sys_seconds time) {
  const sys_seconds local = time + stretch_at(zone, time).offset;
  const sys_days day = std::chrono::floor<days>(local);
  return {day, local - day};
}

/// The moment when clocks of the zone show a date and time. Where they show it twice, or never, the
/// one that Go's time.Date settles on.
sys_seconds moment(const date::time_zone* zone, sys_days date, seconds time) {
  const sys_seconds local = date + time;
  Stretch stretch = stretch_at(zone, local);
  const sys_seconds utc = local - stretch.offset;
  if (utc < stretch.begin || utc >= stretch.end) stretch = stretch_at(zone, utc);
  return local - stretch.offset;
}

}  // namespace

std::expected<CronSchedule, std::string> CronSchedule::parse(std::string_view schedule,
                                                             std::string_view time_zone) {
  CronSchedule result;
  if (schedule.contains("TZ")) {  // the API server's own test
    return Error("schedule " + quoted(schedule) + ": a time zone belongs into timeZone");
  }
  if (!time_zone.empty()) {
    const auto zone = find_zone(time_zone);
    if (!zone) return Error(zone.error());
    result.zone_ = *zone;
  }

  constexpr std::string_view kEvery = "@every ";
  if (schedule.starts_with(kEvery)) {
    const auto every = parse_duration(schedule.substr(kEvery.size()));
    if (!every) return Error("schedule " + quoted(schedule) + ": not a duration");
    result.every_ = std::max(*every, seconds(1));
    return result;
  }
  std::string_view text = schedule;
  if (schedule.starts_with('@')) {
    const auto* const found = std::ranges::find(
        kDescriptors, schedule, &std::pair<std::string_view, std::string_view>::first);
    if (found == kDescriptors.end()) {
      return Error("schedule " + quoted(schedule) + ": no such name");
    }
    text = found->second;
  }
  const std::vector<std::string_view> fields = split(text, " \t\n\v\f\r", true);
  if (fields.size() != kRules.size()) {
    return Error("schedule " + quoted(schedule) + ": " + std::to_string(fields.size()) +
                 " fields, not 5");
  }
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    for (const std::string_view item : split(fields[i], ",", true)) {
      const auto bits = parse_item(item, kRules[i], kStar);
      if (!bits) return Error("schedule " + quoted(schedule) + ": " + bits.error());
      result.fields_[i] |= *bits;
    }
    // The controller reads a lone comma as a schedule that never comes.
    if (result.fields_[i] == 0) {
      return Error("schedule " + quoted(schedule) + ": no " + std::string(kRules[i].name));
    }
  }
  return result;
}

// ---- stepping ----------------------------------------------------------------------------------

/// Walks forward from a time to the first one that matches: month by month, then day by day, hour
/// by hour, minute by minute, second by second. A field that wraps around sends the walk back to
/// the months. Steps of hours and less are elapsed time, so a clock that is set back shows some
/// hours twice, and the schedule matches in both; one that is set forward skips some, and the
/// schedule with them.
class CronSchedule::Search {
 public:
  Search(const CronSchedule& schedule, sys_seconds from) : schedule_(schedule) { go(from); }

  std::optional<sys_seconds> run() {
    constexpr int kYears = 5;
    const std::chrono::year last = now_.date.year() + std::chrono::years(kYears);
    while (now_.date.year() <= last && steps_ < kMaxSteps) {
      if (pass()) return time_;
    }
    return std::nullopt;
  }

 private:
  // Days a year for 6 years and the hours and minutes of some, and a good deal more. Where a zone
  // skips a whole day (Samoa in 2011), Go's date of that day is the day before, and the original
  // steps there for ever.
  static constexpr int kMaxSteps = 20'000;

  void go(sys_seconds time) {
    time_ = time;
    now_ = wall_clock(schedule_.zone_, time);
    ++steps_;
  }

  /// To the start of a unit of time, once: after the first step the walk is at such a start.
  void start_at(sys_seconds time) {
    if (!std::exchange(started_, true)) go(time);
  }

  [[nodiscard]] sys_seconds local(sys_days date, seconds time) const {
    return moment(schedule_.zone_, date, time);
  }

  [[nodiscard]] bool matches(Field field, unsigned value) const {
    return (schedule_.fields_[field] >> value & 1) != 0;
  }

  /// If both days are restricted, either will do.
  [[nodiscard]] bool day_matches() const {
    const bool of_month = matches(day, now_.day());
    const bool of_week = matches(weekday, now_.weekday());
    const bool any = ((schedule_.fields_[day] | schedule_.fields_[weekday]) & kStar) != 0;
    return any ? of_month && of_week : of_month || of_week;
  }

  /// False where a field wrapped around. What an earlier loop has found is not looked at again,
  /// even where a missing midnight has led over to another day: so does the original.
  bool pass() {
    while (!matches(month, now_.month())) {
      start_at(local(sys_days(now_.date.year() / now_.date.month() / 1), seconds(0)));
      const auto next = now_.date.year() / now_.date.month() + std::chrono::months(1);
      go(local(sys_days(next / 1) + days(now_.day() - 1), now_.time));
      if (now_.month() == 1) return false;
    }
    while (!day_matches()) {
      start_at(local(now_.date, seconds(0)));
      go(local(sys_days(now_.date) + days(1), now_.time));
      // A midnight that does not exist is shown as 23:00 or 1:00.
      const int off = now_.hour();
      if (off != 0) go(time_ + hours(off > 12 ? 24 - off : -off));
      if (now_.day() == 1 || steps_ >= kMaxSteps) return false;
    }
    while (!matches(hour, static_cast<unsigned>(now_.hour()))) {
      start_at(local(now_.date, hours(now_.hour())));
      go(time_ + hours(1));
      if (now_.hour() == 0) return false;
    }
    while (!matches(minute, static_cast<unsigned>(now_.minute()))) {
      start_at(std::chrono::floor<minutes>(time_));
      go(time_ + minutes(1));
      if (now_.minute() == 0) return false;
    }
    while (now_.second() != 0) {
      started_ = true;
      go(time_ + seconds(1));
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
  const std::optional<sys_seconds> found =
      every_ > seconds(0) ? from + every_ : Search(*this, from + seconds(1)).run();
  if (!found) return std::nullopt;
  return static_cast<double>(found->time_since_epoch().count());
}

int CronSchedule::missed(double last, double now, int max) const {
  int count = 0;
  for (auto time = next(last); count < max && time && *time <= now; time = next(*time)) ++count;
  return count;
}

}  // namespace vitalsd::kubernetes
