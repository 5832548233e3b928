#include "probes/postgres/statistics.hpp"

#include "probes/postgres/metrics.hpp"
#include "probes/postgres/rows.hpp"
#include "probes/postgres/statements.hpp"

#include <optional>
#include <string_view>
#include <unordered_map>

namespace vitalsd::postgres {
namespace {

struct Statistics {
  explicit Statistics(const std::vector<net::PgResult>& results)
      : server(results.at(0)),
        databases(results.at(1)),
        activity(results.at(2)),
        locks(results.at(3)),
        standbys(results.at(4)),
        archiver(results.at(5)) {}

  Rows server;
  Rows databases;
  Rows activity;
  Rows locks;
  Rows standbys;
  Rows archiver;
};

using SumByDatabase = std::unordered_map<std::string_view, double>;

SumByDatabase sum_by_database(const Rows& rows, std::string_view column) {
  SumByDatabase sums;
  for (const Row row : rows.all()) sums[row.text("datname")] += row.number(column).value_or(0);
  return sums;
}

double sum_of(const SumByDatabase& sums, std::string_view database) {
  const auto found = sums.find(database);
  return found == sums.end() ? 0 : found->second;
}

// Without pg_monitor, pg_stat_activity hides the state and the type of other roles' sessions, so
// almost none would be counted. numbackends is visible. It includes the probe's own session and a
// few workers.
double visible_backends(const Row& database) {
  const double all = database.number("numbackends").value_or(0);
  return database.is_true("is_current") && all > 0 ? all - 1 : all;
}

// A server without archiving has no waiting files. An archive_command that hangs never fails, so
// waiting files count as well.
void check_archive(const Row& archiver, Backlog& unarchived, SampleSet& out) {
  const std::optional<double> age = archiver.number("archived_age");
  const bool is_failing = archiver.is_true("failing");
  const bool is_known = is_failing || !archiver.text("waiting").empty();
  if (!archiver.is_true("archives") || !is_known || !age) return;
  const double waiting =
      unarchived.update(Backlog::Clock::now(), is_failing || archiver.is_true("waiting"), *age);
  out.check(kArchiveCheck, waiting, is_failing ? "the last attempt failed" : "");
}

}  // namespace

void add_statistics(const std::vector<net::PgResult>& results, Backlog& unarchived,
                    SampleSet& out) {
  if (results.size() < kStatementCount) {
    throw ProbeError(Reason::protocol, "results are missing from the response");
  }
  const Statistics statistics(results);

  const Row server(statistics.server, 0);
  kServerTable.add(out, server);
  const std::optional<double> max = server.number("max_connections");
  const bool sees_all = server.is_true("reads_all_stats");

  const SumByDatabase sessions = sum_by_database(statistics.activity, "connections");
  const SumByDatabase waiting = sum_by_database(statistics.locks, "waiting");
  double total = 0;
  for (const Row row : statistics.databases.all()) {
    const std::string_view name = row.text("datname");
    const double connections = sees_all ? sum_of(sessions, name) : visible_backends(row);
    total += connections;
    kDatabaseTable.add(out, Database{row, connections, max, sum_of(waiting, name)}, name);
  }
  if (max && *max > 0) out.check(kConnectionsCheck, total / *max);

  if (sees_all) {
    for (const Row row : statistics.activity.all()) {
      kActivityTable.add(out, row, row.text("datname"), row.text("state"));
    }
  }
  for (const Row row : statistics.locks.all()) {
    kLockTable.add(out, row, row.text("datname"), row.text("mode"));
  }
  double standbys = 0;
  for (const Row row : statistics.standbys.all()) {
    standbys += row.number("standbys").value_or(0);
    kStandbyTable.add(out, row, row.text("application_name"), row.text("client_address"));
  }
  out.add(kStandbys, standbys);
  for (const Row row : statistics.archiver.all()) {
    kArchiverTable.add(out, row);
    check_archive(row, unarchived, out);
  }
}

}  // namespace vitalsd::postgres
