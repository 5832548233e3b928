#include "probes/kubernetes/objects/time.hpp"

#include <charconv>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace vitalsd::kubernetes {

namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }

/// Reads a text from its start. After a mismatch all further reads fail.
class Scanner {
 public:
  explicit Scanner(std::string_view text) : rest_(text) {}

  /// Reads exactly `digits` digits.
  int number(std::size_t digits) {
    int value = 0;
    if (rest_.size() < digits) return fail();
    for (const char c : rest_.substr(0, digits)) {
      if (!is_digit(c)) return fail();
      value = value * 10 + (c - '0');
    }
    rest_.remove_prefix(digits);
    return value;
  }

  /// Reads one of `characters` and returns it.
  char one_of(std::string_view characters) {
    const char c = rest_.empty() ? '\0' : rest_.front();
    if (c == '\0' || !characters.contains(c)) return static_cast<char>(fail());
    rest_.remove_prefix(1);
    return c;
  }

  /// Reads and returns "." and digits, or returns an empty text.
  std::string_view fraction() {
    if (!rest_.starts_with('.')) return {};
    std::size_t size = 1;
    while (size < rest_.size() && is_digit(rest_[size])) ++size;
    const std::string_view digits = rest_.substr(0, size);
    rest_.remove_prefix(size);
    if (size == 1) fail();
    return digits;
  }

  [[nodiscard]] bool is_complete() const { return good_ && rest_.empty(); }

 private:
  int fail() {
    good_ = false;
    rest_ = {};
    return 0;
  }

  std::string_view rest_;
  bool good_ = true;
};

struct Time {
  std::chrono::sys_seconds second;
  std::string_view fraction;  // "." and digits, or empty
};

std::optional<Time> parse_rfc3339(std::string_view text) {
  Scanner in(text);
  const int year = in.number(4);
  in.one_of("-");
  const int month = in.number(2);
  in.one_of("-");
  const int day = in.number(2);
  in.one_of("Tt");
  const int hour = in.number(2);
  in.one_of(":");
  const int minute = in.number(2);
  in.one_of(":");
  const int second = in.number(2);
  const std::string_view fraction = in.fraction();
  const char zone = in.one_of("Zz+-");
  int offset_hour = 0;
  int offset_minute = 0;
  if (zone == '+' || zone == '-') {
    offset_hour = in.number(2);
    in.one_of(":");
    offset_minute = in.number(2);
  }
  const std::chrono::year_month_day date{std::chrono::year{year},
                                         std::chrono::month{static_cast<unsigned>(month)},
                                         std::chrono::day{static_cast<unsigned>(day)}};
  if (!in.is_complete() || year == 0 || !date.ok() || hour > 23 || minute > 59 || second > 59 ||
      offset_hour > 23 || offset_minute > 59) {
    return std::nullopt;
  }
  const std::chrono::hours offset_hours{zone == '-' ? -offset_hour : offset_hour};
  const std::chrono::minutes offset_minutes{zone == '-' ? -offset_minute : offset_minute};
  return Time{std::chrono::sys_days{date} + std::chrono::hours{hour} +
                  std::chrono::minutes{minute} + std::chrono::seconds{second} - offset_hours -
                  offset_minutes,
              fraction};
}

}  // namespace

std::optional<double> parse_time(std::string_view text) {
  const std::optional<Time> time = parse_rfc3339(text);
  if (!time) return std::nullopt;
  // Digits beyond the precision of a double have no effect.
  double fraction = 0;
  std::from_chars(time->fraction.data(), time->fraction.data() + time->fraction.size(), fraction);
  return static_cast<double>(time->second.time_since_epoch().count()) + fraction;
}

std::optional<std::int64_t> parse_nanoseconds(std::string_view text) {
  const std::optional<Time> time = parse_rfc3339(text);
  if (!time) return std::nullopt;
  constexpr std::int64_t kPerSecond = 1'000'000'000;
  const std::int64_t seconds = time->second.time_since_epoch().count();
  if (seconds < 0 || seconds >= std::numeric_limits<std::int64_t>::max() / kPerSecond) {
    return std::nullopt;
  }
  std::int64_t nanoseconds = 0;
  std::int64_t digit = kPerSecond / 10;
  for (std::size_t i = 1; i < time->fraction.size() && digit > 0; ++i, digit /= 10) {
    nanoseconds += digit * (time->fraction[i] - '0');
  }
  return seconds * kPerSecond + nanoseconds;
}

}  // namespace vitalsd::kubernetes
