// Collectors that read the catalogs of a database or directories of the server. They are executed
// like the queries of the option `queries`: each separately, with its own time limit and its own
// failure.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/postgres/collector.hpp"
#include "probes/postgres/custom_query.hpp"

#include <chrono>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::postgres {

/// The collectors as queries.
std::vector<CustomQuery> slow_queries(config::Duration interval);

/// The result of a collector.
struct Collected {
  Fragment readings;
  std::vector<CheckResult> checks;
  std::string lacks;  ///< see Collector::read
};

/// Every line starts with `constant_labels`. Throws ProbeError(protocol) if a column is missing.
/// `results` is what ask_collector() returned, and not empty.
Collected collect(const Collector& collector, std::span<const net::PgResult> results,
                  const std::string& constant_labels);

/// Executes the statements of a collector within `limit`. Returns the result of its `sql` and those
/// of its `batch_sql`, or none if the database lacks its extension.
boost::asio::awaitable<std::expected<std::vector<net::PgResult>, net::PgRefusal>> ask_collector(
    const CustomQuery& query, net::PgConnection& connection, std::chrono::milliseconds limit,
    std::chrono::milliseconds lock_limit);

/// `text` with the role as an SQL identifier in place of {role}.
std::string with_role(std::string text, std::string_view role);

}  // namespace vitalsd::postgres
