// A statement of vitalsd with the function that reads its result. Those of the fast lane are part
// of the one message of each run. Those of the slow lane are executed as the option `queries` is.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/postgres/rows.hpp"

#include <limits>
#include <string>
#include <string_view>

namespace vitalsd::postgres {

struct Collector {
  /// The label `collector`.
  std::string_view name;
  /// In the slow lane, {columns} is `columns`, and {schema} the schema of `extension`.
  std::string_view sql;
  std::string_view columns = {};  ///< whose names depend on the version
  /// Adds samples and readings of checks. `lacks` is what the role may not read, with the statement
  /// that permits it; it is empty at first, and {role} in it is the role.
  void (*read)(const Rows& rows, Part& out, std::string& lacks);
  int min_version = 10;  ///< major versions of the server
  int max_version = std::numeric_limits<int>::max();
  /// In a database without this extension, the collector is left out. Slow lane only.
  std::string_view extension = {};

  [[nodiscard]] bool supports(int version) const {
    return min_version <= version && version <= max_version;
  }
};

}  // namespace vitalsd::postgres
