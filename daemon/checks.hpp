// Readings of a run -> verdicts. Pure.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/sample_set.hpp"
#include "exporter/web/view.hpp"

#include <span>
#include <vector>

namespace vitalsd {

/// The verdicts on the readings of a run and its parts: of each check the worst, with the
/// thresholds in force. `configured` has one entry for each of `declared`.
std::vector<CheckResult> judge_checks(const SampleSet& set, std::span<const Check* const> declared,
                                      const std::vector<Thresholds>& configured);

/// The same as people read them.
std::vector<CheckView> to_views(const std::vector<CheckResult>& results);

}  // namespace vitalsd
