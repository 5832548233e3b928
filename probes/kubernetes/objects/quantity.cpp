#include "probes/kubernetes/objects/quantity.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <system_error>

namespace vitalsd::kubernetes {

namespace {

struct Suffix {
  std::string_view text;
  double factor;
  double divisor =
      1;  // a double cannot represent 0.001, but a division by 1000 is rounded correctly
};

constexpr std::array kSuffixes = {
    Suffix{"", 1},        Suffix{"n", 1, 1e9},  Suffix{"u", 1, 1e6},  Suffix{"m", 1, 1e3},
    Suffix{"k", 1e3},     Suffix{"M", 1e6},     Suffix{"G", 1e9},     Suffix{"T", 1e12},
    Suffix{"P", 1e15},    Suffix{"E", 1e18},    Suffix{"Ki", 0x1p10}, Suffix{"Mi", 0x1p20},
    Suffix{"Gi", 0x1p30}, Suffix{"Ti", 0x1p40}, Suffix{"Pi", 0x1p50}, Suffix{"Ei", 0x1p60},
};

std::size_t count_digits(std::string_view text) {
  return std::min(text.find_first_not_of("0123456789"), text.size());
}

}  // namespace

std::optional<double> parse_quantity(std::string_view text) {
  const bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);

  // digits [ "." digits ], with at least one digit
  const std::size_t whole = count_digits(text);
  std::size_t size = whole;
  if (text.substr(size).starts_with('.')) size += 1 + count_digits(text.substr(size + 1));
  if (size == 0 || (whole == 0 && size == 1)) return std::nullopt;

  // An exponent is part of the number. An "E" without digits is a suffix.
  std::string_view suffix = text.substr(size);
  if (suffix.size() > 1 && (suffix[0] == 'e' || suffix[0] == 'E')) {
    const std::size_t sign = suffix[1] == '+' || suffix[1] == '-' ? 1 : 0;
    const std::size_t digits = count_digits(suffix.substr(1 + sign));
    if (digits > 0) {
      size += 1 + sign + digits;
      suffix = text.substr(size);
      if (!suffix.empty()) return std::nullopt;
    }
  }
  const auto* const found = std::ranges::find(kSuffixes, suffix, &Suffix::text);
  if (found == kSuffixes.end()) return std::nullopt;

  double number = 0;
  const std::string_view digits = text.substr(0, size);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
  if (error != std::errc() || end != digits.data() + digits.size()) return std::nullopt;
  const double value = number * found->factor / found->divisor;
  if (!std::isfinite(value)) return std::nullopt;
  return negative ? -value : value;
}

}  // namespace vitalsd::kubernetes
