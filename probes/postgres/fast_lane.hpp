// The statements that each run sends in one message with those of statements.hpp, after them.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/net/pg_result.hpp"

#include <span>
#include <string>
#include <string_view>

namespace vitalsd::postgres {

/// Returns kStatements and the statements of the collectors for this major version.
std::string fast_statements(int version);

/// Adds the samples and the readings of the collectors from `results`, the results of the
/// statements after kStatements. Returns what the role may not read: one line for each, with the
/// statement that permits it, in which {role} is the role. Throws ProbeError(protocol) if a result
/// or a column is missing.
std::string add_fast_lane(std::span<const net::PgResult> results, int version, Part& out);

/// Adds the check of the permissions. `lacks` is what add_fast_lane() returned, with the role.
void check_permissions(std::string_view lacks, Part& out);

}  // namespace vitalsd::postgres
