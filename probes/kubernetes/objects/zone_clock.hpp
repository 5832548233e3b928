// Local times in a time zone, computed as Go does. Zones are those of the system's database
// (/usr/share/zoneinfo). Reads local files only, no network. The files must list their changes
// explicitly up to the year 2037, as Debian's files do. Howard Hinnant's date 3.0 ignores the rule
// at the end of a file, and files written by "zic -b slim" contain little else.
#pragma once

#include <chrono>
#include <expected>
#include <string>
#include <string_view>

namespace date {
class time_zone;  // NOLINT(*-identifier-naming)
}

namespace vitalsd::kubernetes {

/// Returns the zone, or an error message: the name is unknown, its file cannot be read, or there is
/// no database. The first call lists the directories of the database, which takes some
/// milliseconds. The first call for a zone reads its file.
std::expected<const date::time_zone*, std::string> find_zone(std::string_view name);

/// Date and time that a clock in a zone shows.
struct WallClock {
  std::chrono::year_month_day date;
  std::chrono::seconds time;  ///< since midnight

  [[nodiscard]] unsigned month() const { return static_cast<unsigned>(date.month()); }
  [[nodiscard]] unsigned day() const { return static_cast<unsigned>(date.day()); }
  [[nodiscard]] unsigned weekday() const {
    return std::chrono::weekday(std::chrono::sys_days(date)).c_encoding();
  }
  [[nodiscard]] int hour() const { return static_cast<int>(time / std::chrono::hours(1)); }
  [[nodiscard]] int minute() const {
    return static_cast<int>(time % std::chrono::hours(1) / std::chrono::minutes(1));
  }
  [[nodiscard]] int second() const {
    return static_cast<int>((time % std::chrono::minutes(1)).count());
  }
};

/// A null `zone` means UTC, here and below.
WallClock wall_clock(const date::time_zone* zone, std::chrono::sys_seconds time);

/// The time at which clocks in the zone show this date and time. If clocks show it twice or never,
/// the result is the same as that of Go's time.Date.
std::chrono::sys_seconds time_at(const date::time_zone* zone, std::chrono::sys_days date,
                                 std::chrono::seconds time);

}  // namespace vitalsd::kubernetes
