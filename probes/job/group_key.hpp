// The paths of the Pushgateway's API for a job, and the grouping labels in them. Pure.
#pragma once

#include "probes/receiver.hpp"

#include <expected>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::job {

/// The paths of a job: /metrics/job/NAME and /metrics/job@base64/ENCODED, with and without padding.
/// A name of a probe has no characters that must be escaped in a URL.
std::vector<std::string> push_paths(std::string_view name);

/// Labels by name, without `job`, without empty values.
using GroupLabels = std::vector<std::pair<std::string, std::string>>;

/// Reads `/LABEL/VALUE...` behind the path of a job, where `LABEL@base64` announces a value in
/// base64, with either alphabet. Otherwise returns the response to an invalid path.
std::expected<GroupLabels, PushAnswer> parse_group(std::string_view path);

}  // namespace vitalsd::job
