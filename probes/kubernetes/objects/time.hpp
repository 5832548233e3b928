// Parses the times in the Kubernetes API: RFC 3339, as in metav1.Time ("2026-11-23T02:00:05Z") and
// metav1.MicroTime ("2026-11-23T02:00:05.000000Z"). Pure; independent of locale and time zone.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace vitalsd::kubernetes {

/// Returns Unix seconds, negative before 1970, with a fraction in the precision of a double (some
/// tenths of a microsecond today). Empty if the text is not an RFC 3339 date-time, if the date does
/// not exist or is outside the years 1 to 9999, or for a leap second (23:59:60), which Go's parser
/// rejects too.
std::optional<double> parse_time(std::string_view text);

/// Returns nanoseconds since 1970, the precision of logs. Empty outside 1970 to 2262. Digits
/// after the ninth are ignored.
std::optional<std::int64_t> parse_nanoseconds(std::string_view text);

}  // namespace vitalsd::kubernetes
