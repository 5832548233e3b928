#include "config/scalar.hpp"

#include "config/characters.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <limits>
#include <system_error>
#include <utility>

namespace vitalsd::config {
namespace {

std::unexpected<std::string> invalid(std::string_view text, std::string_view why) {
  return std::unexpected(quoted(text) + std::string(why));
}

// Digits only: no sign, no blanks, no leading zero (YAML 1.1 reads such a number as octal). A
// number that is too large for the type becomes the largest number, which the limit of the caller
// rejects.
Parsed<std::uint64_t> parse_digits(std::string_view text) {
  std::uint64_t value = 0;
  const char* const text_end = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data(), text_end, value);
  const bool overflow = error == std::errc::result_out_of_range;
  if ((error != std::errc() && !overflow) || end != text_end) {
    return invalid(text, " is not a valid whole number");
  }
  if (text.size() > 1 && text.front() == '0') {
    return invalid(text, " is not a valid whole number: remove the leading zero");
  }
  return overflow ? std::numeric_limits<std::uint64_t>::max() : value;
}

struct Unit {
  std::string_view name;
  std::uint64_t factor;
};

constexpr std::array kDurationUnits = {
    Unit{"ms", 1},        Unit{"s", 1'000},      Unit{"m", 60'000},
    Unit{"h", 3'600'000}, Unit{"d", 86'400'000}, Unit{"w", 604'800'000},
};
constexpr std::uint64_t kMaxDuration = 3'660ULL * 86'400'000;  // ten years

constexpr std::array kSizeUnits = {
    Unit{"B", 1},
    Unit{"kB", 1'000},
    Unit{"MB", 1'000'000},
    Unit{"GB", 1'000'000'000},
    Unit{"TB", 1'000'000'000'000},
    Unit{"KiB", 1ULL << 10},
    Unit{"MiB", 1ULL << 20},
    Unit{"GiB", 1ULL << 30},
    Unit{"TiB", 1ULL << 40},
};

template <std::size_t N>
const Unit* find_unit(const std::array<Unit, N>& units, std::string_view name) {
  const auto it = std::ranges::find(units, name, &Unit::name);
  return it == units.end() ? nullptr : &*it;
}

std::string_view leading_digits(std::string_view text) {
  return text.substr(
      0, static_cast<std::size_t>(std::ranges::find_if_not(text, is_digit) - text.begin()));
}

}  // namespace

Parsed<std::string> Scalar<std::string>::parse(std::string_view text) { return std::string(text); }
std::string Scalar<std::string>::show(const std::string& value) { return value; }

Parsed<bool> Scalar<bool>::parse(std::string_view text) {
  if (text == "true") return true;
  if (text == "false") return false;
  return invalid(text, " is not valid: must be true or false");
}
std::string Scalar<bool>::show(const bool& value) { return value ? "true" : "false"; }

Parsed<std::int64_t> Scalar<std::int64_t>::parse(std::string_view text) {
  constexpr std::uint64_t kMax{std::numeric_limits<std::int64_t>::max()};
  const bool negative = text.starts_with('-');
  const auto digits = parse_digits(negative ? text.substr(1) : text);
  if (!digits) return std::unexpected(digits.error());
  if (*digits > kMax) {
    return invalid(text, " is too large: must be between -" + std::to_string(kMax) + " and " +
                             std::to_string(kMax));
  }
  const auto value = static_cast<std::int64_t>(*digits);
  return negative ? -value : value;
}
std::string Scalar<std::int64_t>::show(const std::int64_t& value) { return std::to_string(value); }

Parsed<double> Scalar<double>::parse(std::string_view text) {
  double value = 0;
  const auto [end, error] =
      std::from_chars(text.data(), text.data() + text.size(), value, std::chars_format::fixed);
  if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
    return invalid(text, " is not a valid decimal number");
  }
  return value;
}
std::string Scalar<double>::show(const double& value) {
  std::array<char, 32> buffer{};
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(), value);
  return {buffer.data(), result.ptr};
}

Parsed<Duration> Scalar<Duration>::parse(std::string_view text) {
  constexpr std::string_view kForm =
      ": must be whole numbers with units (ms, s, m, h, d, w), for example 30s or 1h30m";
  constexpr std::string_view kTooLong = " is too long: must be at most 3660d";
  std::uint64_t total = 0;
  std::uint64_t previous_factor = std::numeric_limits<std::uint64_t>::max();
  std::string_view rest = text;
  do {
    const std::string_view digits = leading_digits(rest);
    if (digits.empty()) return invalid(text, " is not a valid duration" + std::string(kForm));
    const auto number = parse_digits(digits);
    if (!number) return std::unexpected(number.error());
    rest.remove_prefix(digits.size());
    const std::string_view name = rest.substr(
        0, static_cast<std::size_t>(std::ranges::find_if(rest, is_digit) - rest.begin()));
    if (name.empty()) return invalid(text, " has no unit" + std::string(kForm));
    const Unit* unit = find_unit(kDurationUnits, name);
    if (unit == nullptr) return invalid(text, " is not a valid duration" + std::string(kForm));
    if (unit->factor >= previous_factor) {
      return invalid(text,
                     " is not a valid duration: units must go from largest to smallest, each at "
                     "most once");
    }
    previous_factor = unit->factor;
    rest.remove_prefix(name.size());
    if (*number > kMaxDuration / unit->factor) return invalid(text, kTooLong);
    total += *number * unit->factor;
  } while (!rest.empty());
  if (total > kMaxDuration) return invalid(text, kTooLong);
  return Duration(static_cast<std::int64_t>(total));
}

std::string Scalar<Duration>::show(const Duration& value) {
  auto left = static_cast<std::uint64_t>(value.count());
  if (left == 0) return "0s";
  std::string out;
  for (std::size_t i = kDurationUnits.size() - 1;
       i-- > 0;) {  // not weeks, because 7d is clearer than 1w
    const Unit& unit = kDurationUnits[i];
    if (left < unit.factor) continue;
    // 48h and less stay in hours
    if (unit.name == "d" && value.count() <= 48 * 3'600'000) continue;
    out += std::to_string(left / unit.factor) + std::string(unit.name);
    left %= unit.factor;
  }
  return out;
}

Parsed<Bytes> Scalar<Bytes>::parse(std::string_view text) {
  constexpr std::string_view kForm =
      ": must be a whole number with a unit (B, kB, MB, GB, TB, KiB, MiB, GiB, TiB), for example "
      "10kB or 1MiB";
  const std::string_view digits = leading_digits(text);
  const std::string_view name = text.substr(digits.size());
  if (digits.empty()) return invalid(text, " is not a valid size" + std::string(kForm));
  const auto number = parse_digits(digits);
  if (!number) return std::unexpected(number.error());
  if (name.empty()) return invalid(text, " has no unit" + std::string(kForm));
  const Unit* unit = find_unit(kSizeUnits, name);
  if (unit == nullptr) return invalid(text, " is not a valid size" + std::string(kForm));
  if (*number > std::numeric_limits<std::int64_t>::max() / unit->factor) {
    return invalid(text, " is too large: must be at most 8388607TiB");
  }
  return Bytes{*number * unit->factor};
}

std::string Scalar<Bytes>::show(const Bytes& value) {
  for (const std::string_view name : {"TiB", "GiB", "MiB", "KiB", "TB", "GB", "MB", "kB"}) {
    const std::uint64_t factor = find_unit(kSizeUnits, name)->factor;
    if (value.value != 0 && value.value % factor == 0) {
      return std::to_string(value.value / factor) + std::string(name);
    }
  }
  return std::to_string(value.value) + "B";
}

Parsed<Ratio> Scalar<Ratio>::parse(std::string_view text) {
  const bool percent = text.ends_with('%');
  const auto number = Scalar<double>::parse(percent ? text.substr(0, text.size() - 1) : text);
  if (!number) {
    return invalid(text,
                   " is not a valid ratio: must be a percentage or a fraction, for example 80% or "
                   "0.8");
  }
  const double value = percent ? *number / 100 : *number;
  if (value < 0 || value > 1) {
    return invalid(text, " is not a valid ratio: must be between 0 and 1, or between 0% and 100%");
  }
  return Ratio{value};
}
std::string Scalar<Ratio>::show(const Ratio& value) {
  return Scalar<double>::show(std::round(value.value * 1e6) / 1e4) + "%";
}

}  // namespace vitalsd::config
