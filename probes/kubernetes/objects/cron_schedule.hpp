// When a CronJob runs next. Reads schedules as Kubernetes does and steps from time to time as its
// controller does (robfig/cron v3.0.1, ParseStandard and Next), including what that does around
// changes of the clock, so that the answer is when the job will run rather than when it should.
// Time zones are those of the system's database (/usr/share/zoneinfo, listed once a process); no
// network. Its files must spell their changes out, as Debian's do, to the year 2037: Howard
// Hinnant's date 3.0 does not read the rule at a file's end, which is all that "zic -b slim"
// leaves.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
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
  /// Reads a CronJob's `schedule` and `timeZone`; without a zone (empty) it is UTC, as the
  /// controller manager's clock is. Else says what is wrong with them, or that there is no database
  /// of time zones. Stricter than the controller: no "TZ=" in the schedule, which the API accepts
  /// of old objects only, and no field that lists nothing (","). The first zone of all takes some
  /// milliseconds, since the database's directories are listed then; any zone's first use reads its
  /// file.
  static std::expected<CronSchedule, std::string> parse(std::string_view schedule,
                                                        std::string_view time_zone);

  /// The first time of the schedule later than `after`, both in Unix seconds. Nothing where there
  /// is none within five years, as for the 30th of February, and where `after` lies before 1970 or
  /// after 9999. Always ends: the walk has at most 20,000 steps, some milliseconds.
  [[nodiscard]] std::optional<double> next(double after) const;

  /// How many times of the schedule are later than `last` and not later than `now`, both in Unix
  /// seconds: the runs that a CronJob has missed if it last ran at `last`. Counts to `most`.
  [[nodiscard]] int missed(double last, double now, int max) const;

 private:
  class Search;

  enum Field : unsigned char { minute, hour, day, month, weekday };
  static constexpr std::uint64_t kStar = std::uint64_t{1} << 63;

  std::chrono::seconds every_{0};          // not 0: this far apart, and no fields
  std::array<std::uint64_t, 5> fields_{};  // a bit a value; kStar: "*" or "?" was among them
  const date::time_zone* zone_ = nullptr;  // null: UTC
};

}  // namespace vitalsd::kubernetes
