// Converts the results of the first queries of a run (kStatements) to samples.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/backlog.hpp"
#include "probes/net/pg_connection.hpp"

#include <vector>

namespace vitalsd::postgres {

/// Adds the samples and the readings of the checks. `unarchived` is the state of the server that is
/// kept between runs. Throws ProbeError(protocol) if a result or a column is missing.
void add_statistics(const std::vector<net::PgResult>& results, Backlog& unarchived, SampleSet& out);

}  // namespace vitalsd::postgres
