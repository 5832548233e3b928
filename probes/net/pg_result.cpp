#include "probes/net/pg_result.hpp"

#include <charconv>
#include <cstddef>
#include <system_error>
#include <utility>

#include <libpq-fe.h>

namespace vitalsd::net {

PgResult::PgResult(void* result) : result_(result) {}
PgResult::~PgResult() { PQclear(static_cast<PGresult*>(result_)); }
PgResult::PgResult(PgResult&& other) noexcept : result_(std::exchange(other.result_, nullptr)) {}
PgResult& PgResult::operator=(PgResult&& other) noexcept {
  std::swap(result_, other.result_);
  return *this;
}

int PgResult::rows() const { return PQntuples(static_cast<PGresult*>(result_)); }

std::vector<std::string_view> PgResult::column_names() const {
  const auto* result = static_cast<PGresult*>(result_);
  std::vector<std::string_view> names;
  names.reserve(static_cast<std::size_t>(PQnfields(result)));
  for (int column = 0; column < PQnfields(result); ++column) {
    names.emplace_back(PQfname(result, column));
  }
  return names;
}

std::string_view PgResult::text(int row, int column) const {
  const auto* result = static_cast<PGresult*>(result_);
  return {PQgetvalue(result, row, column),
          static_cast<std::size_t>(PQgetlength(result, row, column))};
}

bool PgResult::is_null(int row, int column) const {
  return PQgetisnull(static_cast<PGresult*>(result_), row, column) != 0;
}

bool PgResult::is_boolean(int column) const {
  constexpr Oid kBoolean = 16;  // in pg_type.dat
  return PQftype(static_cast<PGresult*>(result_), column) == kBoolean;
}

std::optional<double> PgResult::number(int row, int column) const {
  const std::string_view value = text(row, column);
  double number = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), number);
  if (error != std::errc() || end != value.data() + value.size()) return std::nullopt;
  return number;
}

}  // namespace vitalsd::net
