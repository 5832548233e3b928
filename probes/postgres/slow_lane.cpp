#include "probes/postgres/slow_lane.hpp"

#include "probes/postgres/slow_metrics.hpp"
#include "probes/postgres/slow_statements.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <optional>
#include <ranges>
#include <unordered_map>
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

struct UsedSequence {
  double share;  // of its values
  int row;
};

// Returns the sequences that were read, the one with the largest share first.
std::vector<UsedSequence> used_sequences(const Rows& rows) {
  std::unordered_map<std::string_view, double> values;  // by oid
  for (const net::PgResult& batch : rows.batches()) {
    const Rows batch_rows(batch);
    for (const Row row : batch_rows.all()) {
      values.emplace(row.text("oid"), column_of(row, "last_value"));
    }
  }
  std::vector<UsedSequence> used;
  for (int i = 0; i < rows.result().rows(); ++i) {
    const Row row(rows, i);
    const auto value = values.find(row.text("oid"));
    const double last_possible = column_of(row, "last_possible");
    if (value == values.end() || last_possible == 0) continue;
    used.push_back({std::max(value->second / last_possible, 0.0), i});
  }
  std::ranges::sort(used, {}, [](const UsedSequence& each) {
    return std::pair(-each.share, each.row);  // the same series each time
  });
  return used;
}

void read_sequences(const Rows& rows, Part& out, std::string& lacks) {
  if (rows.result().rows() == 0) return;  // a standby
  constexpr int kMaxSequences = 20;
  const std::vector<UsedSequence> used = used_sequences(rows);
  if (!used.empty()) {
    const Row row(rows, used.front().row);
    out.check(kSequenceCheck, used.front().share,
              std::string(row.text("schemaname")) + '.' + std::string(row.text("relname")));
  }
  for (const UsedSequence& each : used | std::views::take(kMaxSequences)) {
    const Row row(rows, each.row);
    out.add(kSequenceUsed, each.share, row.text("datname"), row.text("schemaname"),
            row.text("relname"));
  }
  const Row totals(rows, 0);
  const double unreadable = column_of(totals, "unreadable");
  out.add(kUnreadableSequences, unreadable, totals.text("datname"));
  double judged = 0;
  for (const net::PgResult& batch : rows.batches()) judged += batch.rows();
  out.add(kUnjudgedSequences, column_of(totals, "readable") - judged, totals.text("datname"));
  if (unreadable == 0) return;
  lacks = std::to_string(static_cast<long long>(unreadable)) +
          " sequences: GRANT SELECT ON ALL SEQUENCES IN SCHEMA " +
          std::string(totals.text("unreadable_schemas")) + " TO {role}";
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
    Collector{.name = "sequences",
              .sql = kSequencesSql,
              .batch_sql = kSequenceValuesSql,
              .read = read_sequences},
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

// Returns the column `oid` of the rows in lists of at most `size`, separated by commas.
std::vector<std::string> lists_of_oids(const Rows& rows, int size) {
  std::vector<std::string> lists;
  int count = 0;
  for (const Row row : rows.all()) {
    const std::string_view oid = row.text("oid");
    if (oid.empty()) continue;
    if (count++ % size == 0) {
      lists.emplace_back(oid);
    } else {
      (lists.back() += ',') += oid;
    }
  }
  return lists;
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

Collected collect(const Collector& collector, std::span<const net::PgResult> results,
                  const std::string& constant_labels) {
  // Each statement has a LIMIT or reads a bounded list. The largest LIMIT is that of sequences.
  constexpr int kMaxRows = 6000;
  if (results.front().rows() > kMaxRows) {
    throw ProbeError(Reason::protocol,
                     std::string(collector.name) + ": the server returned too many rows");
  }
  Part part;
  Collected collected;
  collector.read(Rows(results.front(), results.subspan(1)), part, collected.lacks);
  Rendering rendering;
  std::size_t duplicates = 0;
  part.render(rendering, constant_labels, duplicates);
  collected.readings = to_fragment(std::move(rendering));
  collected.checks = part.checks();
  return collected;
}

boost::asio::awaitable<std::expected<std::vector<net::PgResult>, net::PgRefusal>> ask_collector(
    const CustomQuery& query, net::PgConnection& connection, std::chrono::milliseconds limit,
    std::chrono::milliseconds lock_limit) {
  std::vector<net::PgResult> results;
  std::string sql = query.sql;
  std::string grant(query.collector->grant);
  if (!query.collector->extension.empty()) {
    std::string lookup(kExtensionSql);
    replace(lookup, "{extension}", query.collector->extension);
    auto found = co_await connection.ask(lookup, limit, lock_limit, kSearchPath);
    if (!found) co_return std::unexpected(std::move(found.error()));
    if (found->rows() == 0) co_return results;
    replace(sql, "{schema}", found->text(0, 0));
    replace(grant, "{schema}", found->text(0, 0));
  }
  const auto start = std::chrono::steady_clock::now();
  auto result = co_await connection.ask(sql, limit, lock_limit, kSearchPath);
  if (!result) {
    // The library of the extension is not in shared_preload_libraries.
    if (result.error().sqlstate == "55000" && !query.collector->extension.empty()) {
      co_return results;
    }
    if (result.error().sqlstate == "42501" && !grant.empty()) result.error().text += ": " + grant;
    co_return std::unexpected(std::move(result.error()));
  }
  results.push_back(std::move(*result));
  if (query.collector->batch_sql.empty()) co_return results;
  constexpr std::string_view kQueryCanceled = "57014";
  // The default of max_locks_per_transaction is 64.
  constexpr int kBatchSize = 50;
  for (const std::string& oids : lists_of_oids(Rows(results.front()), kBatchSize)) {
    const auto elapsed = std::chrono::duration_cast<std::chrono::milliseconds>(
        std::chrono::steady_clock::now() - start);
    if (elapsed >= limit) break;  // the list begins with the most important rows
    std::string batch(query.collector->batch_sql);
    replace(batch, "{oids}", oids);
    result = co_await connection.ask(batch, limit - elapsed, lock_limit, kSearchPath);
    const bool is_late = !result && result.error().sqlstate == kQueryCanceled;
    if (is_late && results.size() > 1) break;
    if (!result) co_return std::unexpected(std::move(result.error()));
    results.push_back(std::move(*result));
  }
  co_return results;
}

std::string with_role(std::string text, std::string_view role) {
  std::string quoted = "\"";
  for (const char c : role) quoted += c == '"' ? "\"\"" : std::string(1, c);
  replace(text, "{role}", quoted + '"');
  return text;
}

}  // namespace vitalsd::postgres
