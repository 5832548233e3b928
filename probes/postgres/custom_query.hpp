// The option `queries` of kind `postgres`: SQL of the user, whose columns are labels and values.
#pragma once

#include "config/node.hpp"
#include "exporter/model/foreign.hpp"
#include "exporter/model/metric.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::postgres {

/// A column whose values are those of a metric.
struct ValueColumn {
  std::string column;
  std::string metric;  ///< NAME_COLUMN, with _total if it is a counter
  Type type = Type::gauge;
  std::string help;
  bool operator==(const ValueColumn&) const = default;
};

struct Collector;

struct CustomQuery {
  std::string name;
  std::string sql;
  std::vector<std::string> labels;  ///< columns
  std::vector<ValueColumn> values;
  std::optional<config::Duration> interval;  ///< nothing: executed in each run
  std::optional<config::Duration> timeout;   ///< nothing: the rest of the run
  int min_version = 0;                       ///< major versions of the server
  int max_version = 0;
  std::size_t max_rows = 0;
  const Collector* collector = nullptr;  ///< a statement of vitalsd, with its declared metrics
  bool operator==(const CustomQuery&) const = default;

  [[nodiscard]] bool supports(int version) const {
    return min_version <= version && version <= max_version;
  }
};

/// Reads the option `queries`. Two queries may have the same name or the same metric only if no
/// server version executes both.
std::vector<CustomQuery> read_queries(config::Node& options, const ForeignFamilies& foreign);

/// Formats a position in characters, which starts at 1, as "line 2, column 15".
std::string place_in(std::string_view sql, std::size_t position);

}  // namespace vitalsd::postgres
