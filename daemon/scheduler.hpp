// The set of jobs: creates, changes and removes jobs according to the configuration, and stops
// them. Does not depend on the kinds of probes. Probe loop only.
#pragma once

#include "daemon/job.hpp"

#include <cstddef>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <vector>

namespace vitalsd {

class Scheduler {
 public:
  explicit Scheduler(const JobServices& services) : services_(services) {}

  struct Change {
    std::size_t added = 0;
    std::size_t changed = 0;
    std::size_t unchanged = 0;
    std::size_t removed = 0;
  };

  /// Replaces the jobs by those of `specs`. A job with the same name as before is unchanged if its
  /// settings are the same; otherwise it gets the new settings and keeps its counters and phase.
  /// Other jobs are added or removed. `restore` is called for each new job before the job publishes
  /// anything.
  Change apply(std::vector<JobSpec> specs, const std::function<void(Job&)>& restore);

  /// Calls `callback` once, when every job of the first apply() has had its first outcome.
  void on_all_ran(std::function<void()> callback);

  /// Starts no more runs and cancels those in progress.
  void stop();
  /// The number of jobs whose run has not ended, including cancelled runs.
  [[nodiscard]] std::size_t running() const;

  [[nodiscard]] const std::map<std::string, std::unique_ptr<Job>>& jobs() const { return jobs_; }

 private:
  void job_ran();

  JobServices services_;
  // The kinds that have had a probe since the start. For a kind whose probes have all been removed,
  // the number of probes is published as 0.
  std::set<const ProbeKind*> kinds_;
  std::size_t pending_count_ = 0;  // jobs without a first outcome
  std::function<void()> all_ran_;
  std::map<std::string, std::unique_ptr<Job>>
      jobs_;  // last member, because the destructors of jobs call job_ran()
};

}  // namespace vitalsd
