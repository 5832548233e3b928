// The kept fields of Jobs and CronJobs. Field numbers are from k8s.io/api/batch/v1/generated.proto.
// v1beta1 has the same for CronJobs. Pure, except that a schedule may read the file of its time
// zone.
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
  std::int64_t active = 0;  ///< pods, like the next two
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
  std::optional<std::int64_t> ready;
  std::vector<Condition> conditions;  ///< of the types Complete and Failed

  [[nodiscard]] std::string key() const { return meta.key(); }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  [[nodiscard]] bool is(std::string_view condition_type) const;  ///< its status is "True"
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
  /// The first time of the schedule after the last run, or after the creation. Empty if the
  /// schedule is invalid or has no such time.
  std::optional<double> next_schedule;
  std::string schedule_fault;  ///< why the schedule is invalid; empty: it is valid

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// The number of scheduled times that passed more than `grace` seconds ago without a run, at most
  /// `max`. 0 while it is suspended, and while a Job runs and the concurrency policy is "Forbid".
  [[nodiscard]] int missed_runs(double now, double grace, int max) const;
  bool operator==(const CronJob&) const = default;
};

/// They throw ProbeError(protocol) for malformed bytes.
Job read_job(std::string_view message);
CronJob read_cron_job(std::string_view message);

}  // namespace vitalsd::kubernetes
