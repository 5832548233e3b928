// The moments that Kubernetes' API writes: RFC 3339, as metav1.Time ("2026-11-23T02:00:05Z") and
// metav1.MicroTime ("2026-11-23T02:00:05.000000Z"). Pure; knows no locale and no time zone.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vitalsd::kubernetes {

/// Seconds since 1970, before it below 0, with their fraction as far as a double holds it (some
/// tenths of a microsecond in our days). Nothing where the text is no RFC 3339 date-time, names a
/// date that does not exist, lies outside the years 1 to 9999, or is a leap second (23:59:60),
/// which Go's parser refuses as well.
std::optional<double> parse_time(std::string_view text);

/// The same to the nanosecond, as logs have them, between 1970 and 2262; further digits are cut.
std::optional<std::int64_t> parse_nanoseconds(std::string_view text);

}  // namespace vitalsd::kubernetes
