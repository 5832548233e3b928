// Formats readings for people: "42%", "3d 4h", "1.5 GiB". Used by the status page, the log and
// `vitalsd check`.
#pragma once

#include "exporter/model/check.hpp"

#include <chrono>
#include <optional>
#include <string>

namespace vitalsd {

/// Uses the two largest units: "850ms", "12s", "3m 12s", "4d 2h".
std::string format_duration(std::chrono::duration<double> duration);

/// Appends the unit; formats seconds as a duration.
std::string format_reading(Unit unit, double value);

/// The threshold that `status` refers to. For ok, the threshold that is reached first.
std::optional<double> deciding_threshold(const Thresholds& thresholds, Status status);

/// The status of a reading beyond deciding_threshold().
Status deciding_status(const Thresholds& thresholds, Status status);

/// The threshold as text, such as "warn above 80%". Empty if there is none.
std::string format_threshold(const Check& check, const Thresholds& thresholds, Status status);

}  // namespace vitalsd
