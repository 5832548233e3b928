// A statement of vitalsd with the function that reads its result. The statements of the fast lane
// are sent in one message in each run. Those of the slow lane are executed like the queries of the
// option `queries`.
#pragma once

#include "exporter/model/sample_set.hpp"
#include "probes/postgres/rows.hpp"

#include <limits>
#include <string>
#include <string_view>

namespace vitalsd::postgres {

struct Collector {
  /// The value of the label `collector`.
  std::string_view name;
  /// In a statement of the slow lane, {columns} is replaced by `columns`, and {schema} by the
  /// schema of `extension`.
  std::string_view sql;
  std::string_view columns = {};  ///< columns whose names depend on the version of the server
  /// A statement about the objects in the column `oid` of the rows of `sql`. It is executed for a
  /// limited number of them at a time, which replace {oids}, each time in its own transaction.
  /// Empty if there is none. Slow lane only.
  std::string_view batch_sql = {};
  /// Adds samples and readings of checks. If the role lacks a permission, sets `lacks` to a text
  /// that names what it cannot read and the statement that grants the permission, with {role} in
  /// place of the role.
  void (*read)(const Rows& rows, Part& out, std::string& lacks);
  int min_version = 10;  ///< major versions of the server
  int max_version = std::numeric_limits<int>::max();
  /// The collector is left out in a database without this extension. Slow lane only.
  std::string_view extension = {};
  /// What permits the role to execute the statement, with {role} and {schema}; may be empty. Slow
  /// lane only.
  std::string_view grant = {};

  [[nodiscard]] bool supports(int version) const {
    return min_version <= version && version <= max_version;
  }
};

}  // namespace vitalsd::postgres
