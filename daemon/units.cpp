#include "daemon/units.hpp"

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

#include <fmt/format.h>

namespace vitalsd {
namespace {

struct Step {
  std::string_view name;
  std::int64_t seconds;
};
constexpr std::array kSteps = {Step{"d", 86'400}, Step{"h", 3'600}, Step{"m", 60}, Step{"s", 1}};

// Three significant digits, without trailing zeros.
std::string short_number(double value) {
  if (std::fabs(value) >= 100 || value == std::trunc(value)) return fmt::format("{:.0f}", value);
  return fmt::format("{:.3g}", value);
}

// With more digits if the value would be shown as 100% and is not, and without an exponent.
std::string percentage(double percent) {
  std::string text = short_number(percent);
  for (int digits = 4; text == "100" && percent != 100 && digits <= 17; ++digits) {
    text = fmt::format("{:.{}g}", percent, digits);
  }
  const double size = std::fabs(percent);
  if (size >= 1e-12 && size < 1e-4) {
    text = fmt::format("{:.{}f}", percent, 2 - static_cast<int>(std::floor(std::log10(size))));
    text.erase(text.find_last_not_of('0') + 1);
  }
  return text + '%';
}

// Whether `status` refers to the threshold of critical.
bool is_critical(const Thresholds& thresholds, Status status) {
  return (status == Status::critical && thresholds.critical) || !thresholds.warn;
}

}  // namespace

std::string format_duration(std::chrono::duration<double> duration) {
  const double seconds = std::fabs(duration.count());
  const std::string sign = duration.count() < 0 ? "-" : "";
  if (const double ms = std::round(seconds * 1000); ms < 1000) {
    return sign + fmt::format("{:.0f}ms", ms);
  }
  std::int64_t rest = std::llround(seconds);
  std::string out;
  for (std::size_t i = 0; i < kSteps.size(); ++i) {
    const std::int64_t count = rest / kSteps[i].seconds;
    if (count == 0) continue;
    out = sign + std::to_string(count) + std::string(kSteps[i].name);
    rest %= kSteps[i].seconds;
    if (i + 1 < kSteps.size() && rest / kSteps[i + 1].seconds > 0) {
      out += ' ' + std::to_string(rest / kSteps[i + 1].seconds) + std::string(kSteps[i + 1].name);
    }
    break;
  }
  return out;
}

std::string format_reading(Unit unit, double value) {
  switch (unit) {
    case Unit::ratio:
      return percentage(value * 100);
    case Unit::seconds:
      return format_duration(std::chrono::duration<double>(value));
    case Unit::bytes: {
      constexpr std::array<std::string_view, 5> kNames = {"B", "KiB", "MiB", "GiB", "TiB"};
      std::size_t i = 0;
      while (std::fabs(value) >= 1024 && i + 1 < kNames.size()) {
        value /= 1024;
        ++i;
      }
      return short_number(value) + ' ' + std::string(kNames[i]);
    }
    case Unit::none:
      break;
  }
  return short_number(value);
}

std::optional<double> deciding_threshold(const Thresholds& thresholds, Status status) {
  return is_critical(thresholds, status) ? thresholds.critical : thresholds.warn;
}

Status deciding_status(const Thresholds& thresholds, Status status) {
  return is_critical(thresholds, status) ? Status::critical : Status::warning;
}

std::string format_threshold(const Check& check, const Thresholds& thresholds, Status status) {
  const std::optional<double> limit = deciding_threshold(thresholds, status);
  if (!limit) return {};
  return std::string(is_critical(thresholds, status) ? "critical" : "warn") +
         (check.worse == Worse::above ? " above " : " below ") + format_reading(check.unit, *limit);
}

}  // namespace vitalsd
