// Readings as people read them: "42%", "3d 4h", "1.5 GiB". For the page, the log and `vitalsd
// check`.
#pragma once

#include "exporter/model/check.hpp"

#include <chrono>
#include <string>

namespace vitalsd {

/// The two largest units: "850ms", "12s", "3m 12s", "4d 2h".
std::string format_duration(std::chrono::duration<double> duration);

/// A reading in its unit; seconds as a duration.
std::string format_reading(Unit unit, double value);

/// The threshold that `status` refers to, "warn above 80%", or for ok the first that there is;
/// empty if there is none.
std::string format_threshold(const Check& check, const Thresholds& thresholds, Status status);

}  // namespace vitalsd
