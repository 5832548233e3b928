#include "daemon/checks.hpp"

#include "daemon/units.hpp"

#include <algorithm>
#include <cstddef>
#include <string>
#include <utility>

namespace vitalsd {
namespace {

bool is_worse(const CheckResult& a, const CheckResult& b) {
  if (a.status != b.status) return a.status > b.status;
  return a.check->worse == Worse::above ? a.reading > b.reading : a.reading < b.reading;
}

}  // namespace

std::vector<CheckResult> judge_checks(const SampleSet& set, std::span<const Check* const> declared,
                                      const std::vector<CheckSetting>& configured) {
  std::vector<CheckResult> worst;
  const auto judge_part = [&](const Part& part) {
    for (CheckResult result : part.checks()) {
      const auto at = std::ranges::find(declared, result.check);
      const bool is_declared = at != declared.end();
      const Check& check = *result.check;
      if (is_declared) {
        const CheckSetting& setting = configured[static_cast<std::size_t>(at - declared.begin())];
        if (!setting) continue;
        result.thresholds = setting->or_else(result.thresholds);
      }
      result.thresholds = result.thresholds.or_else({check.warn, check.critical});
      if (is_declared && !result.thresholds.warn && !result.thresholds.critical) continue;
      result.status = judge(check, result.thresholds, result.reading);
      const auto same = std::ranges::find(worst, result.check, &CheckResult::check);
      if (same == worst.end())
        worst.push_back(std::move(result));
      else if (is_worse(result, *same))
        *same = std::move(result);
    }
  };
  judge_part(set);
  for (const auto& [key, part] : set.parts()) judge_part(part);
  // The target chooses the names of objects.
  for (CheckResult& result : worst) result.object = set.shown(result.object);
  return worst;
}

std::vector<CheckView> to_views(const std::vector<CheckResult>& results) {
  std::vector<CheckView> views;
  for (const CheckResult& result : results) {
    views.push_back({std::string(result.check->name), result.object,
                     format_reading(result.check->unit, result.reading),
                     format_threshold(*result.check, result.thresholds, result.status),
                     result.status, result.reading, result.check->unit,
                     deciding_threshold(result.thresholds, result.status), result.check->worse,
                     deciding_status(result.thresholds, result.status)});
  }
  return views;
}

}  // namespace vitalsd
