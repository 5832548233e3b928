// Jobs, and how the last run of a CronJob went. Names and labels are kube-state-metrics'
// (docs/metrics/workload/job-metrics.md).
#include "probes/kubernetes/objects/job_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <string>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kJobs{.group = "batch", .version = "v1", .plural = "jobs"};

#define VITALSD_JOB "namespace", "job_name"

constexpr Metric kParallelism({.name = "kube_job_spec_parallelism",
                               .help = "Pods that the Job may run at once."},
                              VITALSD_JOB);
constexpr Metric kCompletions({.name = "kube_job_spec_completions",
                               .help = "Pods that must end well for the Job to be complete."},
                              VITALSD_JOB);
constexpr Metric kActive({.name = "kube_job_status_active", .help = "Pods of the Job that run."},
                         VITALSD_JOB);
constexpr Metric kSucceeded({.name = "kube_job_status_succeeded",
                             .help = "Pods of the Job that have ended well."},
                            VITALSD_JOB);
constexpr Metric kFailed({.name = "kube_job_status_failed",
                          .help = "Pods of the Job that have failed, without a reason; 1 with the "
                                  "reason for which the Job as a whole has."},
                         VITALSD_JOB, "reason");
constexpr Metric kReady({.name = "kube_job_status_ready",
                         .help = "Pods of the Job that are ready."},
                        VITALSD_JOB);
constexpr Metric kSuspended({.name = "kube_job_status_suspended",
                             .help = "Whether the Job is held up on purpose."},
                            VITALSD_JOB);
constexpr Metric kStarted({.name = "kube_job_status_start_time",
                           .help = "When the Job began, in Unix seconds."},
                          VITALSD_JOB);
constexpr Metric kCompleted({.name = "kube_job_status_completion_time",
                             .help = "When the Job was complete, in Unix seconds."},
                            VITALSD_JOB);
constexpr Metric kComplete({.name = "kube_job_complete",
                            .help = "Whether the Job is complete; absent until that is known."},
                           VITALSD_JOB, "condition");
constexpr Metric kJobFailed({.name = "kube_job_failed",
                             .help = "Whether the Job has failed; absent until that is known."},
                            VITALSD_JOB, "condition");
constexpr Metric kOwner({.name = "kube_job_owner",
                         .help = "What has made the Job, as a CronJob; always 1."},
                        VITALSD_JOB, "owner_kind", "owner_name", "owner_is_controller");
constexpr Metric kCreated({.name = "kube_job_created",
                           .help = "When the Job was made, in Unix seconds."},
                          VITALSD_JOB);

constexpr Check kFailedCheck{.name = "job_failed",
                             .warn = 0,
                             .critical = {},
                             .help = "Jobs that have failed, those of CronJobs left aside"};
constexpr Check kLastRunFailed{.name = "last_run_failed",
                               .warn = {},
                               .critical = 0,
                               .help = "CronJobs whose last Job to end has failed"};

// What a Job's condition Failed gives as its reason (batchv1.JobReason*): a closed set, of which
// alone labels may be.
constexpr std::array<std::string_view, 5> kReasons = {"BackoffLimitExceeded", "DeadlineExceeded",
                                                      "FailedIndexes", "MaxFailedIndexesExceeded",
                                                      "PodFailurePolicy"};

// All Jobs of a CronJob belong to the same process: the last of them counts.
std::optional<Job> read_own(std::string_view message, const Shard& shard) {
  Job job = read_job(message);
  const bool has_cron_job = job.meta.owner_kind == "CronJob";
  const std::string series = job.meta.namespace_name + '/' + job.meta.owner_name;
  if (!shard.owns(has_cron_job ? series : job.meta.uid)) return std::nullopt;
  return job;
}

class Jobs final : public WatchedSection<Job> {
 public:
  Jobs(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kJobs),
                       [shard = environment.shard](std::string_view message) {
                         return read_own(message, shard);
                       }) {}

 private:
  void add(Part& out, const Job& job) const override {
    const auto put = [&](const auto& metric, const auto& value, const auto&... labels) {
      out.add(metric, value, job.meta.namespace_name, job.meta.name, labels...);
    };
    put(kParallelism, job.parallelism);
    put(kCompletions, job.completions);
    put(kActive, static_cast<double>(job.active));
    put(kSucceeded, static_cast<double>(job.succeeded));
    add_failed(out, job);
    put(kReady, job.ready);
    put(kSuspended, flag(job.suspended));
    put(kStarted, job.started);
    put(kCompleted, job.completed);
    const auto put_condition = [&](const Metric<3>& metric, std::string_view type) {
      const Condition* condition = job.condition(type);
      if (condition == nullptr) return;
      for (const auto& [status, value] : statuses(*condition)) put(metric, value, status);
    };
    put_condition(kComplete, "Complete");
    put_condition(kJobFailed, "Failed");
    const bool owned = !job.meta.owner_kind.empty();
    put(kOwner, 1.0, job.meta.owner_kind, job.meta.owner_name, owned ? "true" : "");
    put(kCreated, job.meta.created);
  }

  static void add_failed(Part& out, const Job& job) {
    std::string_view reason;
    if (job.is("Failed")) reason = job.condition("Failed")->reason.get();
    const bool known = std::ranges::find(kReasons, reason) != kReasons.end();
    const double value = known ? 1 : static_cast<double>(job.failed);
    out.add(kFailed, value, job.meta.namespace_name, job.meta.name, known ? reason : "");
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects failed(kFailedCheck);
    FaultyObjects last_run_failed(kLastRunFailed);
    std::map<std::string, const Job*> last;  // of the CronJobs
    for_each([&](const Job& job) {
      const bool has_failed = job.is("Failed");
      if (job.meta.owner_kind != "CronJob") {
        if (has_failed) failed.add(job.key());
      } else if (has_failed || job.is("Complete")) {
        const Job*& found = last[job.meta.namespace_name + '/' + job.meta.owner_name];
        if (found == nullptr || found->meta.created < job.meta.created) found = &job;
      }
    });
    for (const auto& [series, job] : last) {
      if (job->is("Failed")) last_run_failed.add(series + " (" + job->meta.name + ')');
    }
    failed.report(out);
    last_run_failed.report(out);
  }
};

constexpr auto kMetrics =
    metric_list(kParallelism, kCompletions, kActive, kSucceeded, kFailed, kReady, kSuspended,
                kStarted, kCompleted, kComplete, kJobFailed, kOwner, kCreated);
constexpr std::array<const Check*, 2> kChecks = {&kFailedCheck, &kLastRunFailed};

}  // namespace

constinit const SectionKind jobs = {
    .name = "jobs", .make = make_section<Jobs>, .metrics = kMetrics, .checks = kChecks};

}  // namespace vitalsd::kubernetes
