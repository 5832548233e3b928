// The fields of Jobs and CronJobs that probes use, and the result of a CronJob's last run. Field
// numbers are from k8s.io/api/batch/v1/generated.proto. CronJobs of v1beta1 have the same numbers.
// Pure, except that a schedule may read the file of its time zone.
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
  std::int64_t active = 0;  ///< a number of pods, like the next two fields
  std::int64_t succeeded = 0;
  std::int64_t failed = 0;
  std::optional<std::int64_t> ready;
  std::vector<Condition> conditions;  ///< of the types Complete and Failed

  [[nodiscard]] std::string key() const { return meta.key(); }
  [[nodiscard]] const Condition* condition(std::string_view type) const;
  [[nodiscard]] bool is(std::string_view condition_type) const;  ///< whether its status is "True"
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
    std::optional<double> scheduled;  ///< the scheduled time of this run, if known
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
  /// The first scheduled time after the last run, or after the creation if there was no run, and
  /// after `resumed`. Empty if the schedule is invalid or has no such time.
  std::optional<double> next_schedule;
  std::string schedule_fault;  ///< why the schedule is invalid; empty: it is valid

  /// When `suspended` became false, as observed, or when it was last written: managedFields has the
  /// time of the last change by the client that wrote it, which may be later.
  std::optional<double> resumed;
  // The status does not contain the next two fields: inherit() copies them from update to update.
  std::optional<double> ended_run;      ///< the scheduled time of the newest run that has ended
  std::optional<double> failing_since;  ///< when the failure of a run was first observed

  [[nodiscard]] std::string key() const { return meta.key(); }
  /// Copies from an earlier state of the same CronJob what this state does not show: the result of
  /// the last run while another run is active, and the end of a suspension. `now`: Unix seconds.
  void inherit(const CronJob& previous, double now);
  /// Whether no run has succeeded since the scheduled time of the last run that has ended. While a
  /// run is active, this is the result of the previous run. False while the CronJob is suspended.
  /// Also false in the `grace` seconds after the failure was first observed: before Kubernetes
  /// 1.31, the controller reports the end of a run and its success in two separate updates.
  [[nodiscard]] bool last_run_failed(double now, double grace) const;
  /// Whether only the Jobs can show the result of the last run that has ended: the status records
  /// no success. False while suspended. Controllers before Kubernetes 1.22 never record a success.
  [[nodiscard]] bool needs_jobs() const { return !suspended && ended_run && !last_success; }
  /// The result if needs_jobs(). `newest` is the newest of its Jobs that has ended, null if none
  /// exists. Without a Job of that run, the absence of a success is a failure only if the
  /// controller records successes.
  [[nodiscard]] LastRun result_by_jobs(const EndedRun* newest, bool records_success, double now,
                                       double grace) const;
  /// The number of scheduled times that passed more than `grace` seconds ago without a run, at most
  /// `max`. 0 while the CronJob is suspended, and while a Job runs and the concurrency policy is
  /// "Forbid".
  [[nodiscard]] int missed_runs(double now, double grace, int max) const;
  bool operator==(const CronJob&) const = default;
};

/// These functions throw ProbeError(protocol) for malformed bytes.
Job read_job(std::string_view message);
CronJob read_cron_job(std::string_view message);
/// Reads a Job. Nothing if it has not ended or is not that of a CronJob.
std::optional<EndedRun> read_ended_run(std::string_view message);

}  // namespace vitalsd::kubernetes
