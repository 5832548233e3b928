// The results of kStatements as samples.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/pg_connection.hpp"

#include <vector>

namespace vitalsd::postgres {

/// Adds the samples and the reading of the check `connections`. Throws ProbeError(protocol) if a
/// result or a column is missing.
void add_statistics(const std::vector<net::PgResult>& results, SampleSet& out);

}  // namespace vitalsd::postgres
