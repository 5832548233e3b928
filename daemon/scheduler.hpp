// The set of jobs: starts them, follows the configuration as it changes, stops them. Knows no kind
// of probe. Probe loop only.
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

  /// Makes the jobs what `specs` say: jobs of the same name and configuration are left alone, those
  /// of the same name keep counters and phase, the rest come and go. New jobs get what `recall`
  /// knows of them, before they publish anything.
  Change apply(std::vector<JobSpec> specs, const std::function<void(Job&)>& recall);

  /// Calls back once, when each job of the first apply() has ended its first run in any way.
  void on_all_ran(std::function<void()> callback);

  /// No more runs; those under way are cancelled.
  void stop();
  /// Runs under way, those that were given up included.
  [[nodiscard]] std::size_t running() const;

  [[nodiscard]] const std::map<std::string, std::unique_ptr<Job>>& jobs() const { return jobs_; }

 private:
  void job_ran();

  JobServices services_;
  std::set<const ProbeKind*> kinds_;  // ever seen: a kind that is gone counts 0
  std::size_t awaited_ = 0;
  std::function<void()> all_ran_;
  std::map<std::string, std::unique_ptr<Job>> jobs_;  // goes first: it calls job_ran()
};

}  // namespace vitalsd
