// The rows that one SQL statement returned.
#pragma once

#include <optional>
#include <string_view>
#include <vector>

namespace vitalsd::net {

class PgResult {
 public:
  /// Takes ownership of a PGresult.
  explicit PgResult(void* result);
  ~PgResult();
  PgResult(PgResult&& other) noexcept;
  PgResult& operator=(PgResult&& other) noexcept;

  [[nodiscard]] int rows() const;
  /// In the order of the columns; valid as long as the result.
  [[nodiscard]] std::vector<std::string_view> column_names() const;
  /// Empty for NULL. Valid as long as the result.
  [[nodiscard]] std::string_view text(int row, int column) const;
  [[nodiscard]] bool is_null(int row, int column) const;
  /// Whether the type of the column is boolean.
  [[nodiscard]] bool is_boolean(int column) const;
  /// Nothing for NULL and for text that is not a number.
  [[nodiscard]] std::optional<double> number(int row, int column) const;
  [[nodiscard]] bool is_true(int row, int column) const { return text(row, column) == "t"; }

 private:
  void* result_;
};

}  // namespace vitalsd::net
