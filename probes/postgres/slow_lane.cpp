#include "probes/postgres/slow_lane.hpp"

#include "probes/postgres/slow_metrics.hpp"
#include "probes/postgres/slow_statements.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <utility>

namespace vitalsd::postgres {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kTimeout = 5s;
constexpr std::string_view kSearchPath = "pg_catalog, pg_temp";

struct OtherTables {
  double tables, live, dead;
};

double column_of(const Row& row, std::string_view name) { return row.number(name).value_or(0); }

void read_tables(const Rows& rows, Part& out, std::string& /*lacks*/) {
  std::optional<OtherTables> rest;
  std::string database;
  for (const Row row : rows.all()) {
    if (!rest) {
      rest = {column_of(row, "tables"), column_of(row, "all_live"), column_of(row, "all_dead")};
      database = row.text("datname");
      out.check(kVacuumCheck, column_of(row, "most_overdue"), row.text("most_overdue_table"));
    }
    rest->tables -= 1;
    rest->live -= column_of(row, "n_live_tup");
    rest->dead -= column_of(row, "n_dead_tup");
    kUserTables.add(out, row, database, row.text("schemaname"), row.text("relname"));
  }
  if (rest) kOtherTables.add(out, *rest, database);
}

void read_sequences(const Rows& rows, Part& out, std::string& lacks) {
  bool is_first = true;
  for (const Row row : rows.all()) {
    const std::string name =
        std::string(row.text("schemaname")) + '.' + std::string(row.text("sequencename"));
    const std::optional<double> used = row.number("used");
    out.add(kSequenceUsed, used, row.text("datname"), row.text("schemaname"),
            row.text("sequencename"));
    if (!std::exchange(is_first, false)) continue;
    if (used) out.check(kSequenceCheck, *used, name);
    const double unreadable = column_of(row, "unreadable");
    out.add(kUnreadableSequences, unreadable, row.text("datname"));
    if (unreadable == 0) continue;
    lacks = std::to_string(static_cast<long long>(unreadable)) +
            " sequences: GRANT SELECT ON ALL SEQUENCES IN SCHEMA " +
            std::string(row.text("unreadable_schemas")) + " TO {role}";
  }
}

void read_indexes(const Rows& rows, Part& out, std::string& /*lacks*/) {
  double invalid = 0;
  std::string first;
  for (const Row row : rows.all()) {
    const std::string_view index = row.text("indexrelname");
    if (index.empty()) {  // the number is in the first row; a standby has none
      if (row.text("invalid").empty()) return;
      invalid = column_of(row, "invalid");
      out.add(kInvalidIndexes, invalid, row.text("datname"));
      continue;
    }
    if (first.empty()) first = std::string(row.text("schemaname")) + '.' + std::string(index);
    out.add(kInvalidIndexSize, row.number("size"), row.text("datname"), row.text("schemaname"),
            row.text("relname"), index);
  }
  out.check(kInvalidIndexCheck, invalid, first);
}

void read_settings(const Rows& rows, Part& out, std::string& /*lacks*/) {
  double pending = 0;
  for (const Row row : rows.all()) {
    if (row.is_true("pending_restart")) ++pending;
    const auto setting = std::ranges::find(kSettings.settings, row.text("name"), &Setting::name);
    if (setting == kSettings.settings.end()) continue;
    out.add(setting->metric, row.number("value"));
  }
  out.add(kPendingRestart, pending);
}

void read_wal(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) kWalTable.add(out, row);
}

void read_archive_status(const Rows& rows, Part& out, std::string& /*lacks*/) {
  for (const Row row : rows.all()) out.add(kArchiveReady, row.number("ready"));
}

void read_statements(const Rows& rows, Part& out, std::string& /*lacks*/) {
  const int count = rows.result().rows();
  for (const Row row : rows.all()) {
    kStatementTable.add(out, row, row.text("role"), row.text("datname"), row.text("queryid"));
  }
  if (count == 0) return;
  const Row first(rows, 0);
  out.add(kAllStatementCalls, first.number("all_calls"));
  out.add(kAllStatementSeconds, first.number("all_seconds"));
  out.add(kOtherStatements, column_of(first, "statements") - count);
}

constexpr std::string_view kStatStatements = "pg_stat_statements";
constexpr std::string_view kStatementsGrant =
    "GRANT USAGE ON SCHEMA {schema} TO {role}; "
    "GRANT EXECUTE ON FUNCTION {schema}.pg_stat_statements(boolean) TO {role}";

constexpr std::array kCollectors = {
    Collector{.name = "stat_user_tables", .sql = kTablesSql, .read = read_tables},
    Collector{.name = "sequences", .sql = kSequencesSql, .read = read_sequences},
    Collector{.name = "invalid_indexes", .sql = kIndexesSql, .read = read_indexes},
    Collector{.name = "settings", .sql = kSettingsSql, .read = read_settings},
    Collector{.name = "wal",
              .sql = kWalSql,
              .read = read_wal,
              .grant = "GRANT EXECUTE ON FUNCTION pg_ls_waldir() TO {role}"},
    Collector{.name = "archive_status",
              .sql = kArchiveStatusSql,
              .read = read_archive_status,
              .min_version = 12,
              .grant = "GRANT EXECUTE ON FUNCTION pg_ls_archive_statusdir() TO {role}"},
    Collector{.name = "stat_statements",
              .sql = kStatementsSql,
              .columns = "total_time AS time, blk_read_time AS read_time, "
                         "blk_write_time AS write_time",
              .read = read_statements,
              .max_version = 12,
              .extension = kStatStatements,
              .grant = kStatementsGrant},
    Collector{.name = "stat_statements",
              .sql = kStatementsSql,
              .columns = "total_exec_time AS time, blk_read_time AS read_time, "
                         "blk_write_time AS write_time",
              .read = read_statements,
              .min_version = 13,
              .max_version = 16,
              .extension = kStatStatements,
              .grant = kStatementsGrant},
    Collector{.name = "stat_statements",
              .sql = kStatementsSql,
              .columns = "total_exec_time AS time, shared_blk_read_time AS read_time, "
                         "shared_blk_write_time AS write_time",
              .read = read_statements,
              .min_version = 17,
              .extension = kStatStatements,
              .grant = kStatementsGrant},
};

void replace(std::string& text, std::string_view name, std::string_view value) {
  for (std::size_t at = text.find(name); at != std::string::npos;
       at = text.find(name, at + value.size())) {
    text.replace(at, name.size(), value);
  }
}

}  // namespace

std::vector<CustomQuery> slow_queries(config::Duration interval) {
  std::vector<CustomQuery> queries;
  for (const Collector& collector : kCollectors) {
    CustomQuery query;
    query.name = collector.name;
    query.sql = collector.sql;
    replace(query.sql, "{columns}", collector.columns);
    query.interval = interval;
    query.timeout = kTimeout;
    query.min_version = collector.min_version;
    query.max_version = collector.max_version;
    query.collector = &collector;
    queries.push_back(std::move(query));
  }
  return queries;
}

Collected collect(const Collector& collector, const net::PgResult& result,
                  const std::string& constant_labels) {
  // Each statement has a LIMIT or reads a bounded list; the longest list, pg_settings, has 400
  // rows.
  constexpr int kMaxRows = 2000;
  if (result.rows() > kMaxRows) {
    throw ProbeError(Reason::protocol,
                     std::string(collector.name) + ": the server returned too many rows");
  }
  Part part;
  Collected collected;
  collector.read(Rows(result), part, collected.lacks);
  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, constant_labels, duplicates);
  collected.readings = to_fragment(std::move(rendering));
  collected.checks = part.checks();
  return collected;
}

boost::asio::awaitable<std::expected<std::optional<net::PgResult>, net::PgRefusal>> ask_collector(
    const CustomQuery& query, net::PgConnection& connection, std::chrono::milliseconds limit,
    std::chrono::milliseconds lock_limit) {
  std::string sql = query.sql;
  std::string grant(query.collector->grant);
  if (!query.collector->extension.empty()) {
    std::string lookup(kExtensionSql);
    replace(lookup, "{extension}", query.collector->extension);
    auto found = co_await connection.ask(lookup, limit, lock_limit, kSearchPath);
    if (!found) co_return std::unexpected(std::move(found.error()));
    if (found->rows() == 0) co_return std::nullopt;
    replace(sql, "{schema}", found->text(0, 0));
    replace(grant, "{schema}", found->text(0, 0));
  }
  auto result = co_await connection.ask(sql, limit, lock_limit, kSearchPath);
  if (result) co_return std::optional(std::move(*result));
  // The library of the extension is not in shared_preload_libraries.
  if (result.error().sqlstate == "55000" && !query.collector->extension.empty()) {
    co_return std::nullopt;
  }
  if (result.error().sqlstate == "42501" && !grant.empty()) result.error().text += ": " + grant;
  co_return std::unexpected(std::move(result.error()));
}

std::string with_role(std::string text, std::string_view role) {
  std::string quoted = "\"";
  for (const char c : role) quoted += c == '"' ? "\"\"" : std::string(1, c);
  replace(text, "{role}", quoted + '"');
  return text;
}

}  // namespace vitalsd::postgres
