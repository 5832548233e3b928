#include "probes/postgres/custom_queries.hpp"

#include "exporter/model/text_format.hpp"
#include "probes/postgres/query_rows.hpp"
#include "probes/postgres/slow_lane.hpp"
#include "probes/postgres/slow_metrics.hpp"

#include <algorithm>
#include <cstddef>
#include <expected>
#include <utility>

namespace vitalsd::postgres {
namespace {

using namespace std::chrono_literals;

constexpr std::chrono::milliseconds kRetryAfterFailure = 60s;
// A query is started only if at least this much time is left.
constexpr std::chrono::milliseconds kMinLimit = 10ms;
// The maximum size of the message about a collector, which contains text of the server.
constexpr std::size_t kMaxProblem = 2'000;

// The time that a statement may wait for a lock. It is short, because other sessions queue behind a
// statement that waits for a lock.
std::chrono::milliseconds lock_limit(std::chrono::milliseconds limit) {
  return std::clamp<std::chrono::milliseconds>(limit / 10, 1ms, 500ms);
}

// Returns the failure of a query. Its reason never reports the server as down, because the server
// responds.
Failure failure_of(const CustomQuery& query, const net::PgRefusal& refusal,
                   std::chrono::milliseconds limit) {
  Failure failure{Reason::mismatch, refusal.text};
  const auto fail_at_limit = [&](std::chrono::milliseconds passed) {
    failure.reason = Reason::overload;
    failure.detail += " (limit: " + config::Scalar<config::Duration>::show(passed) + ')';
  };
  if (refusal.sqlstate == "57014") fail_at_limit(limit);              // query_canceled
  if (refusal.sqlstate == "55P03") fail_at_limit(lock_limit(limit));  // lock_not_available
  if (refusal.sqlstate == "42501") failure.reason = Reason::permission;
  if (refusal.position > 0) failure.detail += " at " + place_in(query.sql, refusal.position);
  if (refusal.sqlstate == "42P01") {  // undefined_table
    failure.detail += "; tables outside of the schema public need a schema name: schema.table";
  }
  return failure;
}

}  // namespace

CustomQueries::CustomQueries(config::Node& options, const Environment& environment)
    : environment_(environment) {
  for (CustomQuery& query : read_queries(options, environment.foreign)) {
    states_.push_back(State{.query = std::move(query), .executed_at = {}});
  }
  const auto interval =
      options.get<config::Duration>("slow_interval", 5min,
                                    "time between two readings of tables, sequences, indexes, "
                                    "settings, WAL files and statements; "
                                    "0s: none",
                                    {0s, 24h});
  if (interval == config::Duration::zero()) return;
  for (CustomQuery& query : slow_queries(interval)) {
    states_.push_back(State{.query = std::move(query), .executed_at = {}});
  }
}

// Runs are not exactly periodic, so a query is due slightly before the end of its interval.
bool CustomQueries::is_due(const State& state, const std::string& labels) {
  if (!state.executed_at || !state.query.interval) return true;
  if (!state.failure && state.labels != labels) return true;
  std::chrono::milliseconds interval = *state.query.interval;
  if (state.failure) interval = std::min(interval, kRetryAfterFailure);
  return Clock::now() - *state.executed_at >= interval * 19 / 20;
}

boost::asio::awaitable<void> CustomQueries::run(std::optional<net::PgConnection>& connection,
                                                const Connect& connect, Clock::time_point start,
                                                SampleSet& out) {
  if (states_.empty()) co_return;
  if (!connection) connection = co_await connect();
  constexpr int kPerMajor = 10'000;
  const int version = connection->server_version() / kPerMajor;
  std::vector<State*> due;
  for (State& state : states_) {
    state.is_new = false;
    if (state.query.supports(version) && is_due(state, out.constant_labels()))
      due.push_back(&state);
  }
  // The query that was executed least recently comes first, so that all queries are executed in
  // turn if a run has no time for all.
  std::ranges::sort(due, {},
                    [](const State* state) { return std::pair(state->executed_at, state); });
  for (State* state : due) {
    const auto elapsed =
        std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - start);
    // The server has to cancel the statement before the run's deadline.
    std::chrono::milliseconds limit = (out.time_limit() - elapsed) * 3 / 4;
    if (limit < kMinLimit) break;
    if (state->query.collector != nullptr) {
      // Other statements have used up the time: this query is executed in the next run and does not
      // fail this one.
      if (elapsed > out.time_limit() / 2) continue;
      limit /= 2;
    }
    if (state->query.timeout) limit = std::min(limit, *state->query.timeout);
    bool is_lost = false;
    try {
      co_await execute(*state, *connection, limit, out);
    } catch (const ProbeError& error) {
      if (error.reason() == Reason::internal) throw;
      is_lost = true;
      state->failure = Failure{Reason::mismatch, error.what()};
    }
    state->failures = state->failure ? state->failures + 1 : 0;
    state->is_new = true;
    if (!is_lost) continue;
    // If the server is down, this throws, and the whole run fails.
    connection.reset();
    connection = co_await connect();
  }
  publish_all(version, connection->user(), out);
}

// Throws ProbeError if the connection is lost.
boost::asio::awaitable<void> CustomQueries::execute(State& state, net::PgConnection& connection,
                                                    std::chrono::milliseconds limit,
                                                    SampleSet& out) {
  out.doing("waiting for the query " + state.query.name);
  const auto start = Clock::now();
  state.executed_at = start;
  auto answer = co_await ask(state.query, connection, limit);
  state.duration = Clock::now() - start;
  if (!answer) {
    state.failure = failure_of(state.query, answer.error(), limit);
    co_return;
  }
  state.is_absent = answer->empty();
  if (state.is_absent) {
    state.labels = out.constant_labels();
    state.readings.reset();
    state.failure.reset();
    co_return;
  }
  try {
    if (state.query.collector != nullptr) {
      Collected collected = collect(*state.query.collector, *answer, out.constant_labels());
      state.readings = std::move(collected.readings);
      state.checks = std::move(collected.checks);
      state.lacks = std::move(collected.lacks);
    } else {
      state.readings = co_await read_rows(state.query, answer->front(), environment_.foreign,
                                          out.constant_labels());
    }
    state.labels = out.constant_labels();
    state.failure.reset();
  } catch (const ProbeError& error) {
    state.failure = Failure{error.reason(), error.what()};
  }
}

boost::asio::awaitable<std::expected<std::vector<net::PgResult>, net::PgRefusal>>
CustomQueries::ask(const CustomQuery& query, net::PgConnection& connection,
                   std::chrono::milliseconds limit) {
  if (query.collector != nullptr) {
    co_return co_await ask_collector(query, connection, limit, lock_limit(limit));
  }
  auto result =
      co_await connection.ask(query.sql, limit, lock_limit(limit), "pg_catalog, public, pg_temp");
  if (!result) co_return std::unexpected(std::move(result.error()));
  std::vector<net::PgResult> results;
  results.push_back(std::move(*result));
  co_return results;
}

void CustomQueries::publish_all(int version, const std::string& role, SampleSet& out) const {
  bool has_error = false;
  for (const State& state : states_) {
    if (!state.query.supports(version)) continue;
    publish(state, out);
    has_error = has_error || state.failure;
    if (state.query.collector == nullptr) continue;
    std::string problem = state.failure ? state.failure->detail : state.lacks;
    if (!state.executed_at) problem = "no run had time for it";
    if (problem.empty()) continue;
    out.show("collector " + state.query.name + ": " +
             shown_text(with_role(std::move(problem), role), kMaxProblem));
  }
  out.add(kScrapeError, has_error ? 1 : 0);
}

// Readings survive one failed execution, just as the readings of a part survive one failed run.
void CustomQueries::publish(const State& state, SampleSet& out) {
  if (!state.executed_at || state.is_absent) return;  // or no run has had time for it yet
  const bool is_custom = state.query.collector == nullptr;
  Part& part = out.part((is_custom ? "query " : "collector ") + state.query.name);
  part.add(is_custom ? kQueryDuration : kCollectorDuration, state.duration.count(),
           state.query.name);
  part.add(is_custom ? kQuerySuccess : kCollectorSuccess, state.failure ? 0 : 1, state.query.name);
  if (!is_custom && (!state.failure || state.failure->reason == Reason::permission)) {
    part.add(kPermitted, !state.failure && state.lacks.empty() ? 1 : 0, state.query.name);
  }
  const bool has_readings = !state.failure || (state.failures == 1 && !state.is_new);
  const bool fits = state.labels == out.constant_labels();
  part.attach(has_readings && fits ? state.readings : nullptr);
  if (has_readings) {
    for (const CheckResult& result : state.checks) {
      part.check(*result.check, result.reading, result.object, result.thresholds);
    }
  }
  if (is_custom && state.failure) part.fail(state.failure->reason, state.failure->detail);
  part.complete();
}

void CustomQueries::reset() {
  for (State& state : states_) state = State{.query = std::move(state.query), .executed_at = {}};
}

void CustomQueries::inherit(CustomQueries& predecessor) {
  for (State& state : states_) {
    const auto old = std::ranges::find(predecessor.states_, state.query, &State::query);
    if (old != predecessor.states_.end()) state = std::move(*old);
  }
}

}  // namespace vitalsd::postgres
