#include "daemon/scheduler.hpp"

#include <algorithm>
#include <set>
#include <utility>

namespace vitalsd {

Scheduler::Change Scheduler::apply(std::vector<JobSpec> specs,
                                   const std::function<void(Job&)>& restore) {
  Change change;
  std::set<std::string> wanted;
  for (const JobSpec& spec : specs) wanted.insert(spec.name);
  change.removed =
      std::erase_if(jobs_, [&](const auto& entry) { return !wanted.contains(entry.first); });

  const auto now = Job::Clock::now();
  std::map<std::string_view, std::size_t> kinds;
  for (const ProbeKind* kind : kinds_) kinds[kind->name] = 0;
  for (JobSpec& spec : specs) {
    ++kinds[spec.kind->name];
    kinds_.insert(spec.kind);
    std::unique_ptr<Job>& job = jobs_[spec.name];
    if (!job) {
      ++change.added;
      job = std::make_unique<Job>(services_, std::move(spec));
      restore(*job);
      ++pending_count_;
      job->on_first_outcome([this] { job_ran(); });
      job->start(now);
    } else if (job->matches(spec)) {
      ++change.unchanged;
    } else {
      ++change.changed;
      job->replace(std::move(spec));
    }
  }
  for (const auto& [kind, count] : kinds) services_.metrics.set_probes(kind, count);
  return change;
}

void Scheduler::job_ran() {
  if (--pending_count_ == 0 && all_ran_) std::exchange(all_ran_, nullptr)();
}

void Scheduler::on_all_ran(std::function<void()> callback) {
  all_ran_ = std::move(callback);
  if (pending_count_ == 0) std::exchange(all_ran_, nullptr)();
}

void Scheduler::stop() {
  for (const auto& [name, job] : jobs_) job->stop();
}

std::size_t Scheduler::running() const {
  return static_cast<std::size_t>(
      std::ranges::count_if(jobs_, [](const auto& entry) { return entry.second->running(); }));
}

}  // namespace vitalsd
