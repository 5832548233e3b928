// Runs the custom queries and the slow lane of one server when they are due. Each is a part of the
// run.
#pragma once

#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/pg_connection.hpp"
#include "probes/postgres/custom_query.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <expected>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::postgres {

inline constexpr Metric kQueryDuration(
    {.name = "vitalsd_postgres_query_duration_seconds",
     .unit = Unit::seconds,
     .help = "Time that the last execution of a custom query took, with its response."},
    "query");
inline constexpr Metric kQuerySuccess(
    {.name = "vitalsd_postgres_query_success",
     .help = "Whether the last execution of a custom query succeeded (1) or failed (0)."},
    "query");

class CustomQueries {
 public:
  using Clock = std::chrono::steady_clock;
  using Connect = std::function<boost::asio::awaitable<net::PgConnection>()>;

  /// Reads the options `queries` and `slow_interval`.
  CustomQueries(config::Node& options, const Environment& environment);

  /// Executes the queries that are due, as many as the run that began at `start` has time for, and
  /// adds a part for each query of the server's version. A failure of a query fails its part only.
  /// A failure of a collector of the slow lane is reported by a metric and in the message of the
  /// probe. `connection` is replaced by a new one if it is empty or lost; throws ProbeError if that
  /// fails, because the server is then down.
  boost::asio::awaitable<void> run(std::optional<net::PgConnection>& connection,
                                   const Connect& connect, Clock::time_point start, SampleSet& out);

  /// Makes the next run execute all queries, because another server may respond. The readings of
  /// the previous one are not published.
  void reset();

  /// Takes over the readings of the queries that have not changed.
  void inherit(CustomQueries& predecessor);

 private:
  struct State {
    CustomQuery query;
    std::optional<Clock::time_point> executed_at;  // the start of the last execution
    std::chrono::duration<double> duration{};      // of the last execution
    Fragment readings{};                           // of the last successful execution
    std::vector<CheckResult> checks{};             // of the last successful execution
    std::string lacks{};                           // see Collector::read
    bool is_absent = false;                        // the database lacks the extension
    std::string labels{};                          // constant labels of the readings
    std::optional<Failure> failure{};              // of the last execution
    int failures = 0;                              // in a row
    bool is_new = false;                           // executed in this run
  };

  [[nodiscard]] static bool is_due(const State& state, const std::string& labels);
  boost::asio::awaitable<void> execute(State& state, net::PgConnection& connection,
                                       std::chrono::milliseconds limit, SampleSet& out);
  boost::asio::awaitable<std::expected<std::vector<net::PgResult>, net::PgRefusal>> ask(
      const CustomQuery& query, net::PgConnection& connection, std::chrono::milliseconds limit);
  void publish_all(int version, const std::string& role, SampleSet& out) const;
  static void publish(const State& state, SampleSet& out);

  const Environment& environment_;
  std::vector<State> states_;
};

}  // namespace vitalsd::postgres
