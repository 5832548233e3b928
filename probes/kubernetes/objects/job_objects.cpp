#include "probes/kubernetes/objects/job_objects.hpp"

#include "probes/kubernetes/objects/cron_schedule.hpp"

#include <algorithm>

#include <boost/json/parse.hpp>
#include <boost/json/value.hpp>

namespace vitalsd::kubernetes {
namespace {

constexpr ConditionFields kJobCondition{.reason = 5, .last_transition = 4};

void read_job_spec(std::string_view message, Job& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.parallelism = field.integer();
    if (field.tag() == 2) out.completions = field.integer();
    if (field.tag() == 10) out.suspended = field.boolean();
  });
}

void read_job_status(std::string_view message, Job& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      Condition condition = read_condition(field.bytes(), kJobCondition);
      const std::string& type = condition.type.get();
      if (type == "Complete" || type == "Failed") out.conditions.push_back(std::move(condition));
    }
    if (field.tag() == 2) out.started = read_time(field.bytes());
    if (field.tag() == 3) out.completed = read_time(field.bytes());
    if (field.tag() == 4) out.active = field.integer();
    if (field.tag() == 5) out.succeeded = field.integer();
    if (field.tag() == 6) out.failed = field.integer();
    if (field.tag() == 9) out.ready = field.integer();
  });
}

// When spec.suspend was last written, or another field by the same client; nothing if no client has
// written it.
std::optional<double> read_suspend_time(std::string_view metadata) {
  std::optional<double> last;
  for_each_field(metadata, [&](Field& field) {
    if (field.tag() != 17) return;  // managedFields
    std::optional<double> time;
    std::string_view owned;  // JSON
    for_each_field(field.bytes(), [&](Field& entry) {
      if (entry.tag() == 4) time = read_time(entry.bytes());
      if (entry.tag() != 7) return;
      for_each_field(entry.bytes(), [&](Field& set) {
        if (set.tag() == 1) owned = set.bytes();
      });
    });
    boost::json::error_code error;
    const boost::json::value fields = boost::json::parse({owned.data(), owned.size()}, error);
    if (error || fields.find_pointer("/f:spec/f:suspend", error) == nullptr) return;
    last = std::max(last, time);
  });
  return last;
}

void read_cron_job_spec(std::string_view message, CronJob& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) out.schedule = field.bytes();
    if (field.tag() == 2) out.starting_deadline = field.integer();
    if (field.tag() == 3) out.concurrency_policy = field.bytes();
    if (field.tag() == 4) out.suspended = field.boolean();
    if (field.tag() == 8) out.time_zone = field.bytes();
  });
}

void read_cron_job_status(std::string_view message, CronJob& out) {
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      CronJob::ActiveJob& job = out.active.emplace_back();
      for_each_field(field.bytes(), [&](Field& reference) {
        if (reference.tag() == 3) job.name = reference.bytes();
      });
    }
    if (field.tag() == 4) out.last_schedule = read_time(field.bytes());
    if (field.tag() == 5) out.last_success = read_time(field.bytes());
  });
}

const CronJob::ActiveJob* find_active(const CronJob& job, std::string_view name) {
  const auto found = std::ranges::find(job.active, name, &CronJob::ActiveJob::name);
  return found == job.active.end() ? nullptr : &*found;
}

// Sets the next scheduled time, or the error of the schedule.
void set_next_schedule(CronJob& job) {
  job.next_schedule.reset();
  const auto schedule = CronSchedule::parse(job.schedule, job.time_zone);
  if (!schedule) {
    job.schedule_fault = schedule.error();
  } else if (const auto last = job.last_schedule ? job.last_schedule : job.meta.created) {
    job.next_schedule = schedule->next(std::max(*last, job.resumed.value_or(0)));
  }
}

// Whether a run has ended and no run has succeeded since its scheduled time.
bool has_failed(const CronJob& job) {
  return job.ended_run && (!job.last_success || *job.last_success < *job.ended_run);
}

}  // namespace

const Condition* Job::condition(std::string_view type) const {
  const auto found = std::ranges::find_if(
      conditions, [&](const Condition& condition) { return condition.type.get() == type; });
  return found == conditions.end() ? nullptr : &*found;
}

bool Job::is(std::string_view condition_type) const {
  const Condition* found = condition(condition_type);
  return found != nullptr && found->status.get() == "True";
}

void CronJob::inherit(const CronJob& previous, double now) {
  if (previous.meta.uid != meta.uid) return;
  // The end of a suspension was observed, or there was none: the time in managedFields is that of
  // another change.
  resumed = previous.suspended && !suspended ? now : previous.resumed;
  set_next_schedule(*this);
  if (!active.empty()) {
    ended_run = previous.ended_run;
    for (ActiveJob& job : active) {
      const ActiveJob* known = find_active(previous, job.name);
      if (known != nullptr) job.scheduled = known->scheduled;
    }
    // One update can report the end of a run and the start of the next one. With the policy
    // "Replace", the controller may have deleted the run, which is not a failure.
    for (const ActiveJob& job : previous.active) {
      if (concurrency_policy == "Replace" || find_active(*this, job.name) != nullptr) continue;
      if (!ended_run || ended_run < job.scheduled) ended_run = job.scheduled;
    }
  }
  if (has_failed(*this)) failing_since = has_failed(previous) ? previous.failing_since : now;
}

bool CronJob::last_run_failed(double now, double grace) const {
  return !suspended && has_failed(*this) && now - failing_since.value_or(0) >= grace;
}

LastRun CronJob::result_by_jobs(const EndedRun* newest, bool records_success, double now,
                                double grace) const {
  // The controller creates the Job after its scheduled time; its clock may differ from that of the
  // API server, which writes the time of the creation. Schedules have whole minutes.
  constexpr double kClockDifference = 30;
  if (newest != nullptr && newest->created >= *ended_run - kClockDifference) {
    return newest->succeeded ? LastRun::not_failed : LastRun::failed;
  }
  if (!records_success) return LastRun::unknown;
  return last_run_failed(now, grace) ? LastRun::failed : LastRun::not_failed;
}

int CronJob::missed_runs(double now, double grace, int max) const {
  if (suspended || !next_schedule || *next_schedule + grace > now) return 0;
  if (concurrency_policy == "Forbid" && !active.empty()) return 0;
  const auto times = CronSchedule::parse(schedule, time_zone);
  return times ? 1 + times->missed(*next_schedule, now - grace, max - 1) : 0;
}

Job read_job(std::string_view message) {
  Job job;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) job.meta = read_metadata(field.bytes());
    if (field.tag() == 2) read_job_spec(field.bytes(), job);
    if (field.tag() == 3) read_job_status(field.bytes(), job);
  });
  return job;
}

std::optional<EndedRun> read_ended_run(std::string_view message) {
  const Job job = read_job(message);
  const bool succeeded = job.is("Complete");
  if (job.meta.owner_kind != "CronJob" || !job.meta.created) return std::nullopt;
  if (!succeeded && !job.is("Failed")) return std::nullopt;
  return EndedRun{.name = job.key(),
                  .cron_job = job.meta.namespace_name + '/' + job.meta.owner_name,
                  .created = *job.meta.created,
                  .succeeded = succeeded};
}

CronJob read_cron_job(std::string_view message) {
  CronJob job;
  for_each_field(message, [&](Field& field) {
    if (field.tag() == 1) {
      const std::string_view metadata = field.bytes();
      job.meta = read_metadata(metadata);
      job.resumed = read_suspend_time(metadata);
    }
    if (field.tag() == 2) read_cron_job_spec(field.bytes(), job);
    if (field.tag() == 3) read_cron_job_status(field.bytes(), job);
  });
  for (CronJob::ActiveJob& active : job.active) active.scheduled = job.last_schedule;
  if (job.active.empty()) job.ended_run = job.last_schedule;
  set_next_schedule(job);
  return job;
}

}  // namespace vitalsd::kubernetes
