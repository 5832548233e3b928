// Parses resource.Quantity, the notation of Kubernetes for amounts (apimachinery,
// pkg/api/resource/quantity.go). Pure; independent of the locale.
#pragma once

#include <optional>
#include <string_view>

namespace vitalsd::kubernetes {

/// Returns the amount in base units: "500m" is 0.5, "1Gi" 1073741824, "1e3" and "1E3" 1000, "1E"
/// 10^18. Empty if the text is not a quantity or is outside the range of a double (1e309, 1e-400).
/// Values are rounded to a double; the limits of the API (at most 2^63-1, at least a billionth) are
/// not applied. Stricter than Go's parser, which reads a suffix without a digit as 0: the API never
/// writes such a quantity.
std::optional<double> parse_quantity(std::string_view text);

}  // namespace vitalsd::kubernetes
