// Checks: the thresholds that the operators' documents give, declared by a probe's kind beside its
// metrics. A probe reports the reading; the command line, the page and vitalsd_check_status share
// the verdict. Standard library only.
#pragma once

#include "exporter/model/metric.hpp"

#include <optional>
#include <string>
#include <string_view>

namespace vitalsd {

enum class Worse : unsigned char { above, below };

struct Check {
  std::string_view name;  ///< the value of the label `check`, and the key under `checks:`
  Unit unit = Unit::none;
  Worse worse = Worse::above;
  std::optional<double> warn;      ///< default threshold; strictly worse is a warning
  std::optional<double> critical;  ///< default threshold; strictly worse is critical
  std::string_view help;
};

struct Thresholds {
  std::optional<double> warn;
  std::optional<double> critical;

  /// These where they are given, else those of `fallback`.
  [[nodiscard]] constexpr Thresholds or_else(const Thresholds& fallback) const {
    return {warn ? warn : fallback.warn, critical ? critical : fallback.critical};
  }
};

enum class Status : unsigned char { ok = 0, warning = 1, critical = 2 };

constexpr std::string_view status_name(Status status) {
  switch (status) {
    case Status::ok:
      return "ok";
    case Status::warning:
      return "warning";
    case Status::critical:
      return "critical";
  }
  return "";
}

/// One reading of a check, the worst one where a probe watches several objects.
struct CheckResult {
  const Check* check = nullptr;
  double reading = 0;
  std::string object;     ///< which of several, empty if there is one
  Thresholds thresholds;  ///< those that the probe knows; later those in force
  Status status = Status::ok;
};

constexpr Status judge(const Check& check, const Thresholds& thresholds, double reading) {
  const auto worse = [&](const std::optional<double>& threshold) {
    if (!threshold) return false;
    return check.worse == Worse::above ? reading > *threshold : reading < *threshold;
  };
  if (worse(thresholds.critical)) return Status::critical;
  return worse(thresholds.warn) ? Status::warning : Status::ok;
}

}  // namespace vitalsd
