// Checks: thresholds for readings. A kind of probe declares them beside its metrics, with default
// thresholds from published operating guides. The probe reports the reading; the command line, the
// status page and vitalsd_check_status show the same status. Standard library only.
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
  std::optional<double> warn;      ///< default threshold; a worse reading is a warning
  std::optional<double> critical;  ///< default threshold; a worse reading is critical
  std::string_view help;
};

struct Thresholds {
  std::optional<double> warn;
  std::optional<double> critical;

  /// These thresholds; a missing one is replaced by that of `fallback`.
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

/// A reading of a check. If a probe observes several objects, this is the worst reading.
struct CheckResult {
  const Check* check = nullptr;
  double reading = 0;
  std::string object;     ///< the object, if the probe watches several; otherwise empty
  Thresholds thresholds;  ///< from the probe; later the effective ones
  Status status = Status::ok;
};

/// The status of a reading. A reading that equals a threshold is not worse.
constexpr Status judge(const Check& check, const Thresholds& thresholds, double reading) {
  const auto worse = [&](const std::optional<double>& threshold) {
    if (!threshold) return false;
    return check.worse == Worse::above ? reading > *threshold : reading < *threshold;
  };
  if (worse(thresholds.critical)) return Status::critical;
  return worse(thresholds.warn) ? Status::warning : Status::ok;
}

}  // namespace vitalsd
