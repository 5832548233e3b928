// CronJobs. Names and labels are kube-state-metrics' (docs/metrics/workload/cronjob-metrics.md);
// runs that did not take place are counted by the schedule and its time zone.
#include "probes/kubernetes/objects/job_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kCronJobs{
    .group = "batch", .version = "v1", .plural = "cronjobs", .older_versions = {"v1beta1"}};

// The controller is a few seconds late in the best of cases.
constexpr double kGrace = 120;
constexpr int kMaxMissed = 100;

#define VITALSD_CRONJOB "namespace", "cronjob"

constexpr Metric kInfo({.name = "kube_cronjob_info",
                        .help = "When the CronJob runs, and whether beside itself; always 1."},
                       VITALSD_CRONJOB, "schedule", "concurrency_policy", "timezone");
constexpr Metric kSuspended({.name = "kube_cronjob_spec_suspend",
                             .help = "Whether the CronJob is held up on purpose."},
                            VITALSD_CRONJOB);
constexpr Metric kDeadline({.name = "kube_cronjob_spec_starting_deadline_seconds",
                            .unit = Unit::seconds,
                            .help = "How late a run of the CronJob may begin."},
                           VITALSD_CRONJOB);
constexpr Metric kActive({.name = "kube_cronjob_status_active",
                          .help = "Jobs of the CronJob that run."},
                         VITALSD_CRONJOB);
constexpr Metric kLastSchedule({.name = "kube_cronjob_status_last_schedule_time",
                                .help = "When the CronJob last ran, in Unix seconds."},
                               VITALSD_CRONJOB);
constexpr Metric kLastSuccess({.name = "kube_cronjob_status_last_successful_time",
                               .help = "When the CronJob last ran well, in Unix seconds."},
                              VITALSD_CRONJOB);
constexpr Metric kNextSchedule({.name = "kube_cronjob_next_schedule_time",
                                .help = "When the CronJob runs next, or should have run, in Unix "
                                        "seconds; absent while it is suspended."},
                               VITALSD_CRONJOB);
constexpr Metric kMissed({.name = "vitalsd_cronjob_missed_runs",
                          .help = "Times of the CronJob's schedule since its last run that have "
                                  "passed without one, counted to 100."},
                         VITALSD_CRONJOB);
constexpr Metric kCreated({.name = "kube_cronjob_created",
                           .help = "When the CronJob was made, in Unix seconds."},
                          VITALSD_CRONJOB);

constexpr Check kMissedCheck{.name = "missed_runs",
                             .warn = 0,
                             .critical = {},
                             .help = "CronJobs that should have run and did not"};
constexpr Check kScheduleCheck{.name = "cronjob_schedule",
                               .warn = 0,
                               .critical = {},
                               .help = "CronJobs whose schedule or time zone cannot be read"};

class CronJobs final : public WatchedSection<CronJob> {
 public:
  CronJobs(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kCronJobs),
                       own(&read_cron_job, environment.shard)) {}

 private:
  void add(Part& out, const CronJob& job) const override {
    const auto put = [&](const auto& metric, const auto& value, const auto&... labels) {
      out.add(metric, value, job.meta.namespace_name, job.meta.name, labels...);
    };
    put(kInfo, 1.0, job.schedule, job.concurrency_policy, job.time_zone);
    put(kSuspended, flag(job.suspended));
    put(kDeadline, job.starting_deadline);
    put(kActive, static_cast<double>(job.active));
    put(kLastSchedule, job.last_schedule);
    put(kLastSuccess, job.last_success);
    if (!job.suspended) put(kNextSchedule, job.next_schedule);
    put(kCreated, job.meta.created);
  }

  void check(Part& out, double now) const override {
    FaultyObjects missed(kMissedCheck);
    FaultyObjects unreadable(kScheduleCheck);
    for_each([&](const CronJob& job) {
      if (!job.schedule_fault.empty()) {
        unreadable.add(job.key() + " (" + job.schedule_fault + ')');
        return;
      }
      const int runs = job.missed_runs(now, kGrace, kMaxMissed);
      out.add(kMissed, runs, job.meta.namespace_name, job.meta.name);
      if (runs > 0) missed.add(job.key() + " (" + std::to_string(runs) + ')');
    });
    missed.report(out);
    unreadable.report(out);
  }
};

constexpr auto kMetrics = metric_list(kInfo, kSuspended, kDeadline, kActive, kLastSchedule,
                                      kLastSuccess, kNextSchedule, kMissed, kCreated);
constexpr std::array<const Check*, 2> kChecks = {&kMissedCheck, &kScheduleCheck};

}  // namespace

constinit const SectionKind cron_jobs = {
    .name = "cronjobs", .make = make_section<CronJobs>, .metrics = kMetrics, .checks = kChecks};

}  // namespace vitalsd::kubernetes
