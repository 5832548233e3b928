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
#include <optional>
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
Collected collect(const Collector& collector, const net::PgResult& result,
                  const std::string& constant_labels);

/// Executes the statement of a collector. Returns nothing if the database lacks its extension.
boost::asio::awaitable<std::expected<std::optional<net::PgResult>, net::PgRefusal>> ask_collector(
    const CustomQuery& query, net::PgConnection& connection, std::chrono::milliseconds limit,
    std::chrono::milliseconds lock_limit);

/// `text` with the role as an SQL identifier in place of {role}.
std::string with_role(std::string text, std::string_view role);

}  // namespace vitalsd::postgres
