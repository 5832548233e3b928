// Settings -> jobs ready to run: finds each probe's kind, lets it read its options, and reports all
// that is wrong in one go. The same path for start, reload and `vitalsd config check`.
#pragma once

#include "config/settings.hpp"
#include "daemon/job.hpp"
#include "probes/probe.hpp"

#include <memory>
#include <vector>

namespace vitalsd {

/// One specification a probe. Afterwards document.problems() is complete; where it has errors the
/// result is not to be used. Does no I/O.
std::vector<JobSpec> build_jobs(config::Document& document, const Environment& environment);

/// The keys of a kind's options, for the reference.
std::vector<config::Option> describe_kind(const ProbeKind& kind, const Environment& environment);

}  // namespace vitalsd
