// What is kept of Jobs and CronJobs. Field numbers are those of
// k8s.io/api/batch/v1/generated.proto; v1beta1 has the same for CronJobs. Pure, but that a schedule
// may read its time zone's file.
#pragma once

#include "probes/kubernetes/objects/metadata.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::kubernetes {

struct Job {
  Metadata meta;
  std::optional<std::int64_t> parallelism;
  std::optional<std::int64_t> completions;
  bool suspended = false;
  std::optional<double> started;
  std::optional<double> completed;
  std::int64_t active = 0;  ///< pods, as the next ones
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
  std::optional<std::int64_t> ready;
  std::vector<Condition> conditions;  ///< Complete and Failed

  [[nodiscard]] std::string key() const { return meta.key(); }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  [[nodiscard]] bool is(std::string_view condition_type) const;  ///< the condition is True
  bool operator==(const Job&) const = default;
};

struct CronJob {
  Metadata meta;
  std::string schedule;
  std::string time_zone;
  std::string concurrency_policy;  ///< "Allow", "Forbid", "Replace"
  std::optional<std::int64_t> starting_deadline;
  bool suspended = false;
  std::int64_t active = 0;  ///< Jobs
  std::optional<double> last_schedule;
  std::optional<double> last_success;
  /// When it runs, or should have run, after the last time; nothing where its schedule cannot be
  /// read or has no time to come.
  std::optional<double> next_schedule;
  std::string schedule_fault;  ///< what is wrong with the schedule

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// How many of its times have passed unused for longer than `grace` seconds, counted to `most`.
  /// While it is suspended there are none, nor while a Job of it runs that forbids others.
  [[nodiscard]] int missed_runs(double now, double grace, int max) const;
  bool operator==(const CronJob&) const = default;
};

/// Throw ProbeError(protocol) for malformed bytes.
Job read_job(std::string_view message);
CronJob read_cron_job(std::string_view message);

}  // namespace vitalsd::kubernetes
