// The kept fields of Jobs and CronJobs, and the judgement of a CronJob's last run. Field numbers
// are from k8s.io/api/batch/v1/generated.proto. v1beta1 has the same for CronJobs. Pure, except
// that a schedule may read the file of its time zone.
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

/// A Job of a CronJob that has ended.
struct EndedRun {
  std::string name;      ///< with the namespace
  std::string cron_job;  ///< with the namespace
  double created = 0;    ///< Unix seconds
  bool succeeded = false;

  [[nodiscard]] const std::string& key() const { return name; }
  bool operator==(const EndedRun&) const = default;
};

/// What is known about the last run of a CronJob that has ended.
enum class LastRun : unsigned char { not_failed, failed, unknown };

struct CronJob {
  struct ActiveJob {
    std::string name;
    std::optional<double> scheduled;  ///< the time of the schedule for which it runs, if known
    bool operator==(const ActiveJob&) const = default;
  };

  Metadata meta;
  std::string schedule;
  std::string time_zone;
  std::string concurrency_policy;  ///< "Allow", "Forbid", "Replace"
  std::optional<std::int64_t> starting_deadline;
  bool suspended = false;
  std::vector<ActiveJob> active;  ///< the running Jobs
  std::optional<double> last_schedule;
  std::optional<double> last_success;
  /// The first time of the schedule after the last run, or after the creation, and after `resumed`.
  /// Empty if the schedule is invalid or has no such time.
  std::optional<double> next_schedule;
  std::string schedule_fault;  ///< why the schedule is invalid; empty: it is valid

  // The status does not contain the next three: inherit() keeps them from update to update.
  std::optional<double> resumed;        ///< when `suspended` was seen to become false
  std::optional<double> ended_run;      ///< the scheduled time of the newest run that has ended
  std::optional<double> failing_since;  ///< when the failure of a run was first seen, if it was

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// Takes over what an earlier state of the same CronJob shows and this one does not: the result
  /// of the last run while another run is active, and the end of a suspension. `now`: Unix seconds.
  void inherit(const CronJob& previous, double now);
  /// Whether no run has succeeded since the time of the last run that has ended. While a run is
  /// active, the result is that of the run before. False while it is suspended, and in the `grace`
  /// seconds after the failure was first seen: before Kubernetes 1.31, the controller reports the
  /// end of a run and its success in two updates.
  [[nodiscard]] bool last_run_failed(double now, double grace) const;
  /// Whether the status does not contain the result of the last run that has ended: no success is
  /// recorded. Controllers before Kubernetes 1.22 never record one.
  [[nodiscard]] bool needs_jobs() const { return !suspended && ended_run && !last_success; }
  /// The result if needs_jobs(). `newest` is the newest of its Jobs that has ended, null if none
  /// exists. Without a Job of that run, the absence of a success is a failure only if the
  /// controller records successes.
  [[nodiscard]] LastRun result_by_jobs(const EndedRun* newest, bool records_success, double now,
                                       double grace) const;
  /// The number of scheduled times that passed more than `grace` seconds ago without a run, at most
  /// `max`. 0 while it is suspended, and while a Job runs and the concurrency policy is "Forbid".
  [[nodiscard]] int missed_runs(double now, double grace, int max) const;
  bool operator==(const CronJob&) const = default;
};

/// They throw ProbeError(protocol) for malformed bytes.
Job read_job(std::string_view message);
CronJob read_cron_job(std::string_view message);
/// Reads a Job. Nothing if it has not ended or is not that of a CronJob.
std::optional<EndedRun> read_ended_run(std::string_view message);

}  // namespace vitalsd::kubernetes
