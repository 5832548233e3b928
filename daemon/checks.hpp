// Compares the readings of a run with thresholds. Pure.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/sample_set.hpp"
#include "exporter/web/view.hpp"

#include <optional>
#include <span>
#include <vector>

namespace vitalsd {

/// The configured thresholds of a check; none if the check is off.
using CheckSetting = std::optional<Thresholds>;

/// Returns the worst result of each check over the run and its parts, with the thresholds that were
/// applied. A check without readings or thresholds has no result. `configured` has one entry for
/// each check of `declared`. Checks that are not in `declared` belong to one probe, such as those
/// for the queries of kind `prometheus`: their thresholds are in their readings, and they have a
/// result even without thresholds. Objects are as SampleSet::shown() returns them.
std::vector<CheckResult> judge_checks(const SampleSet& set, std::span<const Check* const> declared,
                                      const std::vector<CheckSetting>& configured);

/// Formats the results for the status page and `vitalsd check`.
std::vector<CheckView> to_views(const std::vector<CheckResult>& results);

}  // namespace vitalsd
