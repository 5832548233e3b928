// The statements that each run executes after those of statements.hpp, in the same message.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/pg_result.hpp"

#include <span>
#include <string>

namespace vitalsd::postgres {

/// kStatements, and the statements of the collectors for this major version.
std::string fast_statements(int version);

/// Adds the samples and the readings of the collectors from `results`, which are those after
/// kStatements. Throws ProbeError(protocol) if a result or a column is missing.
void add_fast_lane(std::span<const net::PgResult> results, int version, Part& out);

}  // namespace vitalsd::postgres
