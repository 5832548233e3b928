// A query of the option `queries` of kind `prometheus`.
#pragma once

#include "config/node.hpp"
#include "exporter/model/check.hpp"

#include <list>
#include <span>
#include <string>

namespace vitalsd::prometheus {

class Query {
 public:
  explicit Query(config::Node& section);
  Query(const Query&) = delete;
  Query& operator=(const Query&) = delete;

  [[nodiscard]] const std::string& name() const { return name_; }
  [[nodiscard]] const std::string& expression() const { return expression_; }
  /// The check with the query's name and thresholds, valid as long as the query.
  [[nodiscard]] const Check& check() const { return check_; }

 private:
  std::string name_;
  std::string expression_;
  Check check_;
};

/// Reads `queries`. `declared` are the kind's own checks; a query must not have the name of one of
/// them.
std::list<Query> read_queries(config::Node& options, std::span<const Check* const> declared);

}  // namespace vitalsd::prometheus
