// The rows of a custom query of kind `postgres`. The first line of the input names the columns,
// each other line is a row; fields end with a tab, and the field \N is NULL. The first column is a
// label, even if it has the name of a constant label, the second column is a boolean counter, and
// all others are gauges.
#include "exporter/model/foreign.hpp"
#include "probes/error.hpp"
#include "probes/net/pg_result.hpp"
#include "probes/page/sample_line.hpp"
#include "probes/postgres/query_rows.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <exception>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <libpq-fe.h>

using namespace vitalsd;

namespace {

constexpr std::size_t kMaxColumns = 8;
constexpr std::size_t kMaxRows = 50;

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> fields;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find(separator), text.size());
    fields.emplace_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return fields;
}

net::PgResult make_result(std::vector<std::string> names, const std::vector<std::string>& lines) {
  constexpr Oid kBoolean = 16;
  constexpr Oid kText = 25;
  PGresult* const made = PQmakeEmptyPGresult(nullptr, PGRES_TUPLES_OK);
  std::vector<PGresAttDesc> columns;
  for (std::string& name : names) {
    const Oid type = columns.size() == 1 ? kBoolean : kText;
    PGresAttDesc& column = columns.emplace_back();
    column.name = name.data();
    column.typid = type;
  }
  PQsetResultAttrs(made, static_cast<int>(columns.size()), columns.data());
  for (std::size_t row = 1; row < lines.size(); ++row) {
    std::vector<std::string> fields = split(lines[row], '\t');
    fields.resize(names.size());
    for (std::size_t column = 0; column < names.size(); ++column) {
      std::string& field = fields[column];
      const bool is_null = field == "\\N";
      PQsetvalue(made, static_cast<int>(row) - 1, static_cast<int>(column),
                 is_null ? nullptr : field.data(), is_null ? -1 : static_cast<int>(field.size()));
    }
  }
  return net::PgResult(made);
}

void check(std::string_view family, std::string_view text, std::size_t rows) {
  page::SampleLine line;
  std::set<std::string, std::less<>> seen;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) std::abort();
    const std::string_view one = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (!line.parse(one) || line.name() != family) std::abort();
    std::set<std::string_view> names;
    for (const auto& label : line.labels()) {
      if (!names.insert(label.name).second) std::abort();
    }
    if (!seen.emplace(one.substr(0, one.rfind(' '))).second) std::abort();  // the same series
  }
  if (seen.size() > rows) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::vector<std::string> lines = split({reinterpret_cast<const char*>(data), size}, '\n');
  if (lines.empty() || lines[0].contains('\0')) return 0;
  std::vector<std::string> names = split(lines[0], '\t');
  names.resize(std::min(names.size(), kMaxColumns));
  postgres::CustomQuery query;
  query.name = "q";
  query.max_rows = kMaxRows;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (i == 0) {
      if (lines.size() % 2 == 0) query.labels = {names[0].starts_with("env") ? "env" : "tenant"};
      continue;
    }
    const Type type = i == 1 ? Type::counter : Type::gauge;
    query.values.push_back({names[i], "q_" + std::to_string(i), type, "Help."});
  }
  const net::PgResult result = make_result(names, lines);
  ForeignFamilies foreign;
  boost::asio::io_context loop;
  std::optional<Fragment> fragment;
  boost::asio::co_spawn(loop,
                        postgres::read_rows(query, result, foreign, R"(probe="db",env="prod")"),
                        [&](const std::exception_ptr& error, Fragment made) {
                          if (!error) {
                            fragment = std::move(made);
                            return;
                          }
                          try {
                            std::rethrow_exception(error);
                          } catch (const ProbeError&) {  // the rows do not fit the query
                          }
                        });
  loop.run();
  if (!fragment) return 0;
  for (const FragmentFamily& family : **fragment) {
    check(family.metric->name, family.lines, lines.size() - 1);
  }
  return 0;
}
