// CronJobs. Names and labels are those of kube-state-metrics
// (docs/metrics/workload/cronjob-metrics.md). Missed runs are computed from the schedule and its
// time zone. The result of the last run is taken from the CronJob's own status, because its Jobs
// may be deleted when they end. Without a success in the status, the Jobs are read as well: the
// controllers before Kubernetes 1.22 do not record successes.
#include "probes/kubernetes/objects/job_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kCronJobs{
    .group = "batch", .version = "v1", .plural = "cronjobs", .older_versions = {"v1beta1"}};

constexpr net::kubernetes::Resource kJobs{.group = "batch", .version = "v1", .plural = "jobs"};

constexpr double kGrace = 120;  // seconds; the controller starts runs a few seconds late
constexpr int kMaxMissed = 100;
constexpr double kResultGrace = 10;  // seconds between the end of a run and its result

template <class... Names>
consteval auto cron_job_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "cronjob", names...);
}

constexpr MetricTable kTable(
    MetricRow{cron_job_metric({.name = "kube_cronjob_info",
                               .help = "Schedule, concurrency policy and time zone of the CronJob; "
                                       "always 1."},
                              "schedule", "concurrency_policy", "timezone"),
              [](const CronJob& job, auto put) {
                put(1, job.schedule, job.concurrency_policy, job.time_zone);
              }},
    MetricRow{cron_job_metric({.name = "kube_cronjob_spec_suspend",
                               .help = "Whether the CronJob is suspended."}),
              [](const CronJob& job) { return job.suspended; }},
    MetricRow{cron_job_metric({.name = "kube_cronjob_spec_starting_deadline_seconds",
                               .unit = Unit::seconds,
                               .help = "How late a run of the CronJob may start."}),
              [](const CronJob& job) { return job.starting_deadline; }},
    MetricRow{cron_job_metric({.name = "kube_cronjob_status_active",
                               .help = "Running Jobs of the CronJob."}),
              [](const CronJob& job) { return job.active.size(); }},
    MetricRow{cron_job_metric({.name = "kube_cronjob_status_last_schedule_time",
                               .help = "When the CronJob was last scheduled, in Unix seconds."}),
              [](const CronJob& job) { return job.last_schedule; }},
    MetricRow{
        cron_job_metric({.name = "kube_cronjob_status_last_successful_time",
                         .help = "When a run of the CronJob last succeeded, in Unix seconds."}),
        [](const CronJob& job) { return job.last_success; }},
    MetricRow{cron_job_metric({.name = "kube_cronjob_next_schedule_time",
                               .help = "When the CronJob is due next, or was due without a run, in "
                                       "Unix seconds; absent while it is suspended."}),
              [](const CronJob& job) { return job.suspended ? std::nullopt : job.next_schedule; }},
    MetricRow{cron_job_metric({.name = "kube_cronjob_created",
                               .help = "When the CronJob was created, in Unix seconds."}),
              [](const CronJob& job) { return job.meta.created; }});

// The value depends on the time, so check() adds it.
constexpr Metric kMissed = cron_job_metric(
    {.name = "vitalsd_cronjob_missed_runs",
     .help = "Scheduled times since the last run of the CronJob that passed without a run, at most "
             "100."});

constexpr Check kMissedCheck{.name = "missed_runs",
                             .warn = 0,
                             .critical = {},
                             .help = "CronJobs that missed at least one run"};
constexpr Check kLastRunFailed{.name = "last_run_failed",
                               .warn = {},
                               .critical = 0,
                               .help = "CronJobs without a success since their last finished run"};
constexpr Check kLastRunUnknown{.name = "last_run_unknown",
                                .warn = 0,
                                .critical = {},
                                .help =
                                    "CronJobs whose last run ended with an unknown result: its "
                                    "Job has been deleted, and Kubernetes before 1.22 does not "
                                    "record successes"};
constexpr Check kScheduleCheck{.name = "cronjob_schedule",
                               .warn = 0,
                               .critical = {},
                               .help = "CronJobs whose schedule or time zone is invalid"};

class CronJobs final : public WatchedSection<CronJob> {
 public:
  CronJobs(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kCronJobs),
                       read_own(&read_cron_job, environment.shard)) {
    // Jobs need not have the labels of their CronJob, and may belong to another shard.
    Scope jobs = scope;
    jobs.selector = {};
    for (net::kubernetes::Query& query : jobs.queries(kJobs)) {
      ended_runs_.push_back(
          std::make_unique<EndedRuns>(environment, std::move(query), read_ended_run));
    }
  }

 private:
  using EndedRuns = Watched<EndedRun>;

  // If the Jobs cannot be read, for example because the permission is missing, newest_runs_ stays
  // empty.
  asio::awaitable<void> prepare_check(SampleSet& out) override {
    newest_runs_.clear();
    bool needs_jobs = false;
    for_each([&](const CronJob& job) { needs_jobs = needs_jobs || job.needs_jobs(); });
    if (!needs_jobs) co_return;
    for (const auto& runs : ended_runs_) runs->join();
    for (const auto& runs : ended_runs_) {
      Part part;  // its failure does not fail this section
      if (!co_await runs->judge(out, part)) continue;
      runs->for_each([this](const EndedRun& run) {
        const auto [newest, is_first] = newest_runs_.try_emplace(run.cron_job, run);
        if (!is_first && newest->second.created < run.created) newest->second = run;
      });
    }
  }

  [[nodiscard]] const EndedRun* newest_run(const CronJob& job) const {
    const auto found = newest_runs_.find(job.key());
    return found == newest_runs_.end() ? nullptr : &found->second;
  }

  void add(Part& out, const CronJob& job) const override {
    kTable.add(out, job, job.meta.namespace_name, job.meta.name);
  }

  void check(Part& out, double now) const override {
    FaultyObjects missed(kMissedCheck);
    FaultyObjects last_run_failed(kLastRunFailed);
    FaultyObjects last_run_unknown(kLastRunUnknown);
    FaultyObjects invalid(kScheduleCheck);
    for_each([&](const CronJob& job) {
      if (job.needs_jobs()) {
        const EndedRun* const newest = newest_run(job);
        const LastRun result =
            job.result_by_jobs(newest, is_preferred_version(), now, kResultGrace);
        if (result == LastRun::unknown) last_run_unknown.add(job.key());
        if (result == LastRun::failed) {
          last_run_failed.add(newest ? job.key() : job.key() + " (has never succeeded)");
        }
      } else if (job.last_run_failed(now, kResultGrace)) {
        last_run_failed.add(job.key());
      }
      if (!job.schedule_fault.empty()) {
        invalid.add(job.key() + " (" + job.schedule_fault + ')');
        return;
      }
      const int runs = job.missed_runs(now, kGrace, kMaxMissed);
      out.add(kMissed, runs, job.meta.namespace_name, job.meta.name);
      if (runs > 0) missed.add(job.key() + " (" + std::to_string(runs) + ')');
    });
    missed.report(out);
    last_run_failed.report(out);
    last_run_unknown.report(out);
    invalid.report(out);
  }

  std::vector<std::unique_ptr<EndedRuns>> ended_runs_;  // subscribed when first needed
  std::map<std::string, EndedRun> newest_runs_;         // by CronJob
};

constexpr auto kMetrics = metric_list(kTable, kMissed);
constexpr std::array<const Check*, 4> kChecks = {&kMissedCheck, &kLastRunFailed, &kLastRunUnknown,
                                                 &kScheduleCheck};

}  // namespace

constinit const SectionKind cron_jobs = {.name = "cronjobs",
                                         .make = make_section<CronJobs>,
                                         .metrics = kMetrics,
                                         .checks = kChecks,
                                         .group = "batch"};

}  // namespace vitalsd::kubernetes
