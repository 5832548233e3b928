#include "probes/kubernetes/objects/cron_expression.hpp"

#include "probes/kubernetes/objects/excerpt.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <optional>
#include <span>
#include <system_error>
#include <utility>
#include <vector>

namespace vitalsd::kubernetes {

namespace {

using std::chrono::seconds;

using Error = std::unexpected<std::string>;

constexpr std::array<std::string_view, 12> kMonths = {"jan", "feb", "mar", "apr", "may", "jun",
                                                      "jul", "aug", "sep", "oct", "nov", "dec"};
constexpr std::array<std::string_view, 7> kWeekdays = {"sun", "mon", "tue", "wed",
                                                       "thu", "fri", "sat"};

struct FieldRule {
  std::string_view name;
  std::uint64_t min;
  std::uint64_t max;
  std::span<const std::string_view> names = {};  // of the values from `min` on
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

/// Splits the text at separators. Empty pieces are included unless `skip_empty` is set.
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

/// Parses a number as Go's Atoi does. Negative numbers are invalid.
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

/// Parses one item of a field's list: "*", "5" or "1-5", each optionally followed by a step ("/2").
/// Returns one bit for each value, and sets kStar for "*" or "?" without a step greater than 1.
std::expected<std::uint64_t, std::string> parse_item(std::string_view item, const FieldRule& rule) {
  const auto invalid = [&](std::string_view reason) {
    return Error(std::string(rule.name) + ' ' + excerpt(item) + ": " + std::string(reason));
  };
  const std::vector<std::string_view> parts = split(item, "/", false);
  if (parts.size() > 2) return invalid("more than one step");
  const std::vector<std::string_view> bounds = split(parts[0], "-", false);

  std::optional<std::uint64_t> first = rule.min;
  std::optional<std::uint64_t> last = rule.max;
  std::uint64_t bits = 0;
  if (bounds[0] == "*" || bounds[0] == "?") {
    bits = CronExpression::kStar;
  } else {
    if (bounds.size() > 2) return invalid("not a valid range");
    first = to_value(bounds[0], rule);
    // "5/10" means 5 to the maximum; "5" means 5 only.
    if (bounds.size() == 2) {
      last = to_value(bounds[1], rule);
    } else if (parts.size() == 1) {
      last = first;
    }
  }
  std::optional<std::uint64_t> step = 1;
  if (parts.size() == 2) step = to_count(parts[1]);
  if (!first || !last || !step) return invalid("not a number");
  if (*first < rule.min || *last > rule.max) {
    return invalid("must be between " + std::to_string(rule.min) + " and " +
                   std::to_string(rule.max));
  }
  if (*first > *last) return invalid("the start of the range is greater than its end");
  if (*step == 0) return invalid("the step must not be 0");
  if (*step > 1) bits = 0;  // "*/2" restricts the field, so it does not count as "*"
  for (std::uint64_t value = *first; value <= *last; value += *step) {
    bits |= std::uint64_t{1} << value;
  }
  return bits;
}

/// Parses a duration as Go's time.ParseDuration does. Returns whole seconds, 0 for a negative
/// duration, and nothing for invalid text.
std::optional<seconds> parse_duration(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, double>, 8> kUnits = {{{"ns", 1},
                                                                          {"us", 1e3},
                                                                          {"\u00b5s", 1e3},
                                                                          {"\u03bcs", 1e3},
                                                                          {"ms", 1e6},
                                                                          {"s", 1e9},
                                                                          {"m", 60e9},
                                                                          {"h", 3600e9}}};
  constexpr double kMax = 9.2e18;  // 292 years in nanoseconds, the maximum of Go's Duration

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

}  // namespace

std::expected<CronExpression, std::string> CronExpression::parse(std::string_view schedule) {
  const auto invalid = [&](const std::string& reason) {
    return Error("schedule " + excerpt(schedule) + ": " + reason);
  };
  CronExpression result;
  constexpr std::string_view kEvery = "@every ";
  if (schedule.starts_with(kEvery)) {
    const auto every = parse_duration(schedule.substr(kEvery.size()));
    if (!every) return invalid("not a valid duration");
    result.every = std::max(*every, seconds(1));
    return result;
  }
  std::string_view text = schedule;
  if (schedule.starts_with('@')) {
    const auto* const found = std::ranges::find(
        kDescriptors, schedule, &std::pair<std::string_view, std::string_view>::first);
    if (found == kDescriptors.end()) return invalid("unknown descriptor");
    text = found->second;
  }
  const std::vector<std::string_view> fields = split(text, " \t\n\v\f\r", true);
  if (fields.size() != kRules.size()) {
    return invalid("expected 5 fields, found " + std::to_string(fields.size()));
  }
  for (std::size_t i = 0; i < kRules.size(); ++i) {
    for (const std::string_view item : split(fields[i], ",", true)) {
      const auto bits = parse_item(item, kRules[i]);
      if (!bits) return invalid(bits.error());
      result.fields[i] |= *bits;
    }
    if (result.fields[i] == 0) return invalid("no value for " + std::string(kRules[i].name));
  }
  return result;
}

}  // namespace vitalsd::kubernetes
