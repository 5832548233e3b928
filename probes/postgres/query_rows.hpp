// The rows of a custom query as the lines of its metrics.
#pragma once

#include "exporter/model/foreign.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/pg_result.hpp"
#include "probes/postgres/custom_query.hpp"

#include <string>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::postgres {

/// Formats the rows. Every line starts with `constant_labels`, which are not empty. A column that
/// has the same name as one of them becomes the label exported_NAME. NULL and NaN have no line.
/// Throws ProbeError(mismatch): a column is missing, a value is not a number, two rows have the
/// same labels, there are more than max_rows rows, or another target has a metric of this name with
/// another type.
boost::asio::awaitable<Fragment> read_rows(const CustomQuery& query, const net::PgResult& result,
                                           ForeignFamilies& foreign, std::string constant_labels);

}  // namespace vitalsd::postgres
