#include "probes/page/group_check.hpp"

#include <charconv>
#include <cmath>
#include <system_error>

namespace vitalsd::page {
namespace {

std::optional<double> to_double(std::string_view text) {
  // A double represents every integer with up to this number of digits. Most values are shorter,
  // and have only digits.
  constexpr std::size_t kExactDigits = 15;
  if (text.size() <= kExactDigits) {
    std::uint64_t number = 0;
    std::size_t digits = 0;
    for (; digits < text.size() && text[digits] >= '0' && text[digits] <= '9'; ++digits) {
      number = 10 * number + static_cast<std::uint64_t>(text[digits] - '0');
    }
    if (digits == text.size() && digits > 0) return static_cast<double>(number);
  }
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// Whether the value is a number of events that a double represents exactly.
bool is_count(double value) {
  constexpr double kLargestExact = 9007199254740992.0;  // 2^53
  return value >= 0 && value <= kLargestExact && std::trunc(value) == value;
}

}  // namespace

std::string_view GroupCheck::bound_label(Type type, Role role, std::string_view family) {
  if (type == Type::stateset) return family;
  if (type == Type::histogram && role == Role::bucket) return "le";
  if (type == Type::summary && role == Role::value) return "quantile";
  return {};
}

std::string_view GroupCheck::rule_of(Type type) {
  switch (type) {
    case Type::counter:
      return "a counter is not negative";
    case Type::histogram:
      return "the le of the buckets increases up to +Inf, their counts do not decrease, and there "
             "are both _sum and _count, or neither";
    case Type::summary:
      return "each line has a quantile from 0 to 1, or is _sum or _count";
    default:
      return "its values are 1 or, for a stateset, 0";
  }
}

void GroupCheck::take(Type type, Role role, std::uint64_t group, const std::string_view* bound,
                      std::string_view value) {
  if (!valid_) return;
  if (type != Type::histogram && type != Type::summary && type != Type::stateset) {
    take_value(type, bound, value);
    return;
  }
  if (group != group_) {
    close();
    require(seen_.insert(group));
    group_ = group;
    is_histogram_ = type == Type::histogram;
  }
  if (role == Role::value) {
    take_value(type, bound, value);
    return;
  }
  const std::optional<double> number = to_double(value);
  require(number.has_value());
  if (!valid_) return;
  switch (role) {
    case Role::bucket:
      require(is_count(*number));
      take_bucket(bound, *number, value);
      break;
    case Role::count:
      require(is_count(*number));
      count_ = number;
      break;
    default:
      require(*number >= 0);  // also false for NaN
      has_sum_ = true;
      break;
  }
}

void GroupCheck::take_bucket(const std::string_view* bound, double value, std::string_view text) {
  const std::optional<double> limit = bound == nullptr ? std::nullopt : to_double(*bound);
  require(limit && !std::isnan(*limit));
  if (!valid_) return;
  require(*limit != HUGE_VAL || *bound == "+Inf");
  require(!bound_ || *limit > *bound_);
  require(value >= buckets_);
  has_negative_bounds_ = has_negative_bounds_ || *limit < 0;
  bound_ = limit;
  buckets_ = value;
  if (*limit == HUGE_VAL) last_bucket_ = text;
}

void GroupCheck::take_value(Type type, const std::string_view* bound, std::string_view value) {
  switch (type) {
    case Type::counter: {
      const std::string_view digits = value.substr(value.starts_with('+') ? 1 : 0);
      require(!digits.starts_with('-') && !digits.starts_with('n') && !digits.starts_with('N'));
      break;
    }
    case Type::info:
      require(to_double(value) == 1);
      break;
    case Type::stateset:
      require(bound != nullptr && (to_double(value) == 0 || to_double(value) == 1));
      break;
    case Type::summary: {
      const std::optional<double> quantile = bound == nullptr ? std::nullopt : to_double(*bound);
      const std::optional<double> number = to_double(value);
      require(quantile && *quantile >= 0 && *quantile <= 1 && number && !(*number < 0));
      break;
    }
    default:
      break;
  }
}

void GroupCheck::close() {
  if (group_ && is_histogram_) {
    require(bound_ == HUGE_VAL);
    require(has_sum_ == count_.has_value());
    require(!has_negative_bounds_ || !has_sum_);
    if (valid_ && count_ && count_ != buckets_) other_count_ = last_bucket_;
  }
  group_.reset();
  bound_.reset();
  buckets_ = 0;
  count_.reset();
  has_sum_ = has_negative_bounds_ = false;
}

bool GroupCheck::finish() {
  close();
  return valid_;
}

}  // namespace vitalsd::page
