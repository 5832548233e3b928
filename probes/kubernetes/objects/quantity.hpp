// Kubernetes' notation for amounts: resource.Quantity (apimachinery, pkg/api/resource/quantity.go).
// Pure; knows no locale.
#pragma once

#include <optional>
#include <string_view>

namespace vitalsd::kubernetes {

/// In base units: "500m" is 0.5, "1Gi" 1073741824, "1e3" and "1E3" 1000, "1E" 10^18. Nothing where
/// the text is no quantity or no double holds it (1e309, 1e-400). What a double cannot hold exactly
/// is rounded; the API's own caps (at most 2^63-1, at least a billionth) are not applied. Stricter
/// than Go's parser, which reads a suffix without a digit as 0: the API never writes one.
std::optional<double> parse_quantity(std::string_view text);

}  // namespace vitalsd::kubernetes
