// The rows of a PostgreSQL result, with values by column name. Valid as long as the result.
#pragma once

#include "probes/error.hpp"
#include "probes/net/pg_connection.hpp"

#include <algorithm>
#include <optional>
#include <ranges>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::postgres {

class Row;

class Rows {
 public:
  explicit Rows(const net::PgResult& result, std::span<const net::PgResult> batches = {})
      : result_(&result), names_(result.column_names()), batches_(batches) {}

  /// Throws ProbeError(protocol) if the result has no such column.
  [[nodiscard]] int column(std::string_view name) const {
    const auto found = std::ranges::find(names_, name);
    if (found == names_.end()) {
      throw ProbeError(Reason::protocol, "the response has no column " + std::string(name));
    }
    return static_cast<int>(found - names_.begin());
  }

  /// A range of Row.
  [[nodiscard]] auto all() const;
  [[nodiscard]] const net::PgResult& result() const { return *result_; }
  /// The results of Collector::batch_sql.
  [[nodiscard]] std::span<const net::PgResult> batches() const { return batches_; }

 private:
  const net::PgResult* result_;
  std::vector<std::string_view> names_;
  std::span<const net::PgResult> batches_;
};

class Row {
 public:
  Row(const Rows& rows, int index) : rows_(&rows), index_(index) {}

  /// The text is empty for NULL.
  [[nodiscard]] std::string_view text(std::string_view column) const {
    return rows_->result().text(index_, rows_->column(column));
  }
  /// Returns nothing for NULL and for text that is not a number.
  [[nodiscard]] std::optional<double> number(std::string_view column) const {
    return rows_->result().number(index_, rows_->column(column));
  }
  /// False for NULL.
  [[nodiscard]] bool is_true(std::string_view column) const {
    return rows_->result().is_true(index_, rows_->column(column));
  }

 private:
  const Rows* rows_;
  int index_;
};

inline auto Rows::all() const {
  return std::views::iota(0, result_->rows()) |
         std::views::transform([this](int index) { return Row(*this, index); });
}

}  // namespace vitalsd::postgres
