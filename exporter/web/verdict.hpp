// The verdict on a probe: one answer for the status page, its JSON, the log,
// vitalsd_probe_status and `vitalsd check`. Pure functions.
#pragma once

#include "exporter/web/view.hpp"

#include <array>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// The values are those of vitalsd_probe_status and the exit codes of Nagios plugins.
enum class Verdict : unsigned char { ok = 0, warning = 1, critical = 2, unknown = 3 };

/// The most severe one first.
inline constexpr std::array kVerdicts = {Verdict::critical, Verdict::unknown, Verdict::warning,
                                         Verdict::ok};

/// "ok", "warning", "critical" or "unknown".
std::string_view verdict_name(Verdict verdict);
/// A symbol for text and HTML: one character in UTF-8.
std::string_view mark(Verdict verdict);

Verdict verdict(const CheckView& check);

/// The most severe of the run and its checks. A run that could not observe the target because of
/// credentials, permissions, the configuration or an internal error is unknown, and so is a probe
/// without a recent run. Any other failed run is critical.
Verdict verdict(const ProbeView& probe);

/// Whether the probe runs and no report has arrived yet. Nothing is wrong then, although nothing is
/// known about the target.
bool waits_for_report(const ProbeView& probe);

/// The most severe verdict of all probes; unknown if there are none. A probe that waits for its
/// first report is unknown, but does not count here.
Verdict verdict(const std::vector<ProbeView>& probes);

/// The number of probes by verdict: "1 critical, 5 ok, 1 waiting". "no probes" if there are none.
std::string summary(const std::vector<ProbeView>& probes);

/// The reading of a check with its object and threshold: "95% (orders), critical above 90%".
std::string describe(const CheckView& check);

/// Marks the results of a probe as too old to tell its state.
void expire(ProbeView& probe, std::string why);

}  // namespace vitalsd
