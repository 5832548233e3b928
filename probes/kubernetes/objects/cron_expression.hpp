// The text of a CronJob's schedule, parsed as the controller does (robfig/cron v3.0.1,
// ParseStandard). Pure.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <expected>
#include <string>
#include <string_view>

namespace vitalsd::kubernetes {

struct CronExpression {
  enum Field : unsigned char { minute, hour, day, month, weekday };
  static constexpr std::uint64_t kStar = std::uint64_t{1} << 63;

  std::chrono::seconds every{0};          ///< above 0: a fixed interval; the fields are not used
  std::array<std::uint64_t, 5> fields{};  ///< bit n: the value n matches; kStar: it has "*" or "?"

  [[nodiscard]] bool matches(Field field, unsigned value) const {
    return (fields[field] >> value & 1) != 0;
  }
  [[nodiscard]] bool has_star(Field field) const { return (fields[field] & kStar) != 0; }

  /// Returns the expression, or an error message. A field that lists nothing (",") is an error
  /// here; the controller accepts it and never runs the job.
  static std::expected<CronExpression, std::string> parse(std::string_view schedule);
};

}  // namespace vitalsd::kubernetes
