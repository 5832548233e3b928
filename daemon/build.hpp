// Builds jobs from settings: finds the kind of each probe, reads its options, and reports all
// problems at once. Used at start, at a reload and by `vitalsd config check`.
#pragma once

#include "config/settings.hpp"
#include "daemon/job.hpp"
#include "probes/probe.hpp"
#include "probes/receiver.hpp"

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

namespace vitalsd {

/// A route of a probe that receives requests.
struct ProbeRoute {
  std::string probe;
  PushRoute route;
};

/// Returns one specification for each probe of this shard. Afterwards document.problems() is
/// complete; if it contains errors, the result must not be used. Appends the routes of all probes
/// to `routes`, also of those that another shard runs. Does no I/O.
std::vector<JobSpec> build_jobs(config::Document& document, const Environment& environment,
                                std::vector<ProbeRoute>* routes = nullptr);

/// Why each configured probe that is not in `jobs` does not run here: "is disabled".
std::map<std::string, std::string, std::less<>> absent_probes(
    const std::vector<config::ProbeSettings>& probes, const std::vector<JobSpec>& jobs);

/// The configuration keys of a kind, for the reference.
std::vector<config::Option> describe_kind(const ProbeKind& kind, const Environment& environment);

}  // namespace vitalsd
