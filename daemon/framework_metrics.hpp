// The metrics of every probe, independent of its kind. Its job publishes them.
#pragma once

#include "exporter/model/metric.hpp"

#include <array>
#include <span>

namespace vitalsd::framework {

inline constexpr Metric kSuccess(
    {.name = "probe_success",
     .help = "Whether the last run of the probe succeeded (1) or not (0)."});
inline constexpr Metric kDuration({.name = "probe_duration_seconds",
                                   .unit = Unit::seconds,
                                   .help = "How long the last run of the probe took."});
inline constexpr Metric kLastSuccess(
    {.name = "vitalsd_probe_last_success_timestamp_seconds",
     .unit = Unit::seconds,
     .help = "When a run of the probe last succeeded, in Unix time.",
     .keep = Keep::fact});
inline constexpr Metric kStaleFacts(
    {.name = "vitalsd_probe_stale_facts_timestamp_seconds",
     .unit = Unit::seconds,
     .help = "When the dates that the last run of the probe could not observe were last observed, "
             "the oldest of them, in Unix time; absent if it observed all.",
     .keep = Keep::fact});
inline constexpr Metric kRuns({.name = "vitalsd_probe_runs_total",
                               .type = Type::counter,
                               .help = "Due times of the probe by outcome.",
                               .keep = Keep::fact},
                              "outcome");
inline constexpr Metric kFailures({.name = "vitalsd_probe_failures_total",
                                   .type = Type::counter,
                                   .help = "Failed runs of the probe by reason.",
                                   .keep = Keep::fact},
                                  "reason");
inline constexpr Metric kTargetUp({.name = "vitalsd_target_up",
                                   .help = "Whether the target is up: 1, also if it rejects the "
                                           "probe or is overloaded; 0 if it is down."},
                                  "kind");
inline constexpr Metric kParts(
    {.name = "vitalsd_probe_parts",
     .help = "Objects that the last run of the probe observed, by result."},
    "state");
inline constexpr Metric kCheckStatus({.name = "vitalsd_check_status",
                                      .help = "Result of a check: 0 ok, 1 warning, 2 critical."},
                                     "check");

inline constexpr Metric kStatus(
    {.name = "vitalsd_probe_status",
     .help = "Verdict on the probe and its checks: 0 ok, 1 warning, 2 critical, 3 unknown."});

inline constexpr std::array<const MetricInfo*, 10> kAll = {
    &kSuccess,  &kDuration, &kLastSuccess, &kStaleFacts,  &kRuns,
    &kFailures, &kTargetUp, &kParts,       &kCheckStatus, &kStatus,
};

}  // namespace vitalsd::framework
