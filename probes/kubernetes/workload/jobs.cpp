// Jobs. Names and labels are those of kube-state-metrics (docs/metrics/workload/job-metrics.md).
#include "probes/kubernetes/objects/job_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>
#include <string_view>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kJobs{.group = "batch", .version = "v1", .plural = "jobs"};

template <class... Names>
consteval auto job_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "job_name", names...);
}

// The reasons of a Job's condition Failed (batchv1.JobReason*). Other reasons do not become labels,
// which keeps the number of series bounded.
constexpr std::array<std::string_view, 5> kReasons = {"BackoffLimitExceeded", "DeadlineExceeded",
                                                      "FailedIndexes", "MaxFailedIndexesExceeded",
                                                      "PodFailurePolicy"};

template <class Put>
void put_failed(const Job& job, const Put& put) {
  std::string_view reason;
  if (job.is("Failed")) reason = job.condition("Failed")->reason.get();
  if (std::ranges::find(kReasons, reason) != kReasons.end()) {
    put(1, reason);
  } else {
    put(job.failed, "");
  }
}

template <class Put>
void put_condition(const Job& job, std::string_view type, const Put& put) {
  const Condition* condition = job.condition(type);
  if (condition != nullptr) put_statuses(*condition, put);
}

constexpr MetricTable kTable(
    MetricRow{job_metric({.name = "kube_job_spec_parallelism",
                          .help = "Maximum number of pods that the Job runs at a time."}),
              [](const Job& job) { return job.parallelism; }},
    MetricRow{job_metric({.name = "kube_job_spec_completions",
                          .help = "Pods that must succeed for the Job to complete."}),
              [](const Job& job) { return job.completions; }},
    MetricRow{job_metric({.name = "kube_job_status_active", .help = "Running pods of the Job."}),
              [](const Job& job) { return job.active; }},
    MetricRow{job_metric({.name = "kube_job_status_succeeded",
                          .help = "Pods of the Job that succeeded."}),
              [](const Job& job) { return job.succeeded; }},
    MetricRow{job_metric({.name = "kube_job_status_failed",
                          .help = "Failed pods of the Job, with an empty reason; 1 with the reason "
                                  "if the Job itself failed."},
                         "reason"),
              [](const Job& job, auto put) { put_failed(job, put); }},
    MetricRow{job_metric({.name = "kube_job_status_ready", .help = "Ready pods of the Job."}),
              [](const Job& job) { return job.ready; }},
    MetricRow{
        job_metric({.name = "kube_job_status_suspended", .help = "Whether the Job is suspended."}),
        [](const Job& job) { return job.suspended; }},
    MetricRow{job_metric({.name = "kube_job_status_start_time",
                          .help = "When the Job started, in Unix seconds."}),
              [](const Job& job) { return job.started; }},
    MetricRow{job_metric({.name = "kube_job_status_completion_time",
                          .help = "When the Job completed, in Unix seconds."}),
              [](const Job& job) { return job.completed; }},
    MetricRow{job_metric({.name = "kube_job_complete",
                          .help = "Whether the Job is complete; absent until this is known."},
                         "condition"),
              [](const Job& job, auto put) { put_condition(job, "Complete", put); }},
    MetricRow{job_metric({.name = "kube_job_failed",
                          .help = "Whether the Job has failed; absent until this is known."},
                         "condition"),
              [](const Job& job, auto put) { put_condition(job, "Failed", put); }},
    MetricRow{job_metric({.name = "kube_job_owner",
                          .help = "The Job's controller, such as a CronJob; always 1."},
                         "owner_kind", "owner_name", "owner_is_controller"),
              [](const Job& job, auto put) {
                put(1, job.meta.owner_kind, job.meta.owner_name,
                    job.meta.owner_kind.empty() ? "" : "true");
              }},
    MetricRow{job_metric({.name = "kube_job_created",
                          .help = "When the Job was created, in Unix seconds."}),
              [](const Job& job) { return job.meta.created; }});

constexpr Check kFailedCheck{.name = "job_failed",
                             .warn = 0,
                             .critical = {},
                             .help = "failed Jobs, except those of CronJobs"};
class Jobs final : public WatchedSection<Job> {
 public:
  Jobs(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kJobs), read_own(&read_job, environment.shard)) {}

 private:
  void add(Part& out, const Job& job) const override {
    kTable.add(out, job, job.meta.namespace_name, job.meta.name);
  }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects failed(kFailedCheck);
    for_each([&](const Job& job) {
      if (job.meta.owner_kind != "CronJob" && job.is("Failed")) failed.add(job.key());
    });
    failed.report(out);
  }
};

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 1> kChecks = {&kFailedCheck};

}  // namespace

constinit const SectionKind jobs = {.name = "jobs",
                                    .make = make_section<Jobs>,
                                    .metrics = kMetrics,
                                    .checks = kChecks,
                                    .group = "batch"};

}  // namespace vitalsd::kubernetes
