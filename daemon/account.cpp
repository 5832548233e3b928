#include "daemon/account.hpp"

#include "daemon/framework_metrics.hpp"

#include <algorithm>

namespace vitalsd {
namespace {

// Facts are never in fragments.
bool has_facts(const Part& part) {
  for (std::size_t i = 0; i < part.size(); ++i) {
    if (part.sample(i).metric->keep == Keep::fact) return true;
  }
  return false;
}

double to_unix(Account::SystemTime time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

}  // namespace

void Account::add_run(const SampleSet& set, const std::optional<Failure>& failure,
                      const std::optional<Failure>& thrown, std::chrono::duration<double> duration,
                      SystemTime now) {
  duration_ = duration.count();
  results_.success = !failure;
  results_.last_run = now;
  update_fact_times(set, thrown);
  results_.up = up_after(failure);
  is_internal_failure_ = failure && !is_up(failure->reason);
  if (failure) {
    ++failures_[static_cast<std::size_t>(failure->reason)];
  } else {
    results_.last_success = now;
  }
  ++outcomes_[static_cast<std::size_t>(failure ? Outcome::failed : Outcome::ok)];
  count_parts(set, thrown);
}

void Account::add_skipped(std::size_t count) {
  outcomes_[static_cast<std::size_t>(Outcome::skipped)] += static_cast<std::uint32_t>(count);
}

void Account::add_stuck() {
  ++outcomes_[static_cast<std::size_t>(Outcome::stuck)];
  results_.success = false;
  results_.up = false;
  results_.last_run = SystemTime::max();
}

// A part without facts has no time: either no fact was ever observed, or a successful run has
// removed the facts.
void Account::update_fact_times(const SampleSet& set, const std::optional<Failure>& thrown) {
  FactTimes& times = results_.fact_times;
  const auto update = [&](const std::string& key, const Part& part, bool has_failed) {
    if (has_facts(part)) {
      times.insert_or_assign(key, results_.last_run);
    } else if (!has_failed) {
      times.erase(key);
    }
  };
  update({}, set, thrown || set.failure());
  for (const auto& [key, part] : set.parts()) {
    update(key, part, SampleSet::outcome_of(part, thrown).has_value());
  }
  if (thrown) return;
  std::erase_if(times, [&](const auto& entry) {
    return !entry.first.empty() && !set.parts().contains(entry.first);
  });
}

std::optional<Account::SystemTime> Account::oldest_stale_fact() const {
  std::optional<SystemTime> oldest;
  for (const auto& [key, time] : results_.fact_times) {
    if (time < results_.last_run) oldest = std::min(oldest.value_or(time), time);
  }
  return oldest;
}

// An internal failure carries no information about the target: the last value is kept for one such
// run, as readings are, and is removed after the second such run in a row.
std::optional<bool> Account::up_after(const std::optional<Failure>& failure) const {
  if (!failure) return true;
  const std::optional<bool> up = is_up(failure->reason);
  if (up) return up;
  return is_internal_failure_ ? std::nullopt : results_.up;
}

void Account::count_parts(const SampleSet& set, const std::optional<Failure>& thrown) {
  results_.parts_ok = results_.parts_failed = 0;
  for (const auto& [key, part] : set.parts()) {
    ++(SampleSet::outcome_of(part, thrown) ? results_.parts_failed : results_.parts_ok);
  }
}

Part Account::samples(const ProbeKind& kind) const {
  Part part;
  if (results_.success) {
    part.add(framework::kSuccess, *results_.success ? 1 : 0);
    part.add(framework::kDuration, duration_);
  }
  if (results_.last_success) {
    part.add(framework::kLastSuccess, to_unix(*results_.last_success));
  }
  if (const auto oldest = oldest_stale_fact()) part.add(framework::kStaleFacts, to_unix(*oldest));
  for (const Outcome outcome : kOutcomes) {
    const bool is_from_start = outcome == Outcome::ok || outcome == Outcome::failed;
    if (is_from_start || count(outcome) > 0) {
      part.add(framework::kRuns, static_cast<double>(count(outcome)), outcome_name(outcome));
    }
  }
  for (const Reason reason : kReasons) {
    const std::uint32_t count = failures_[static_cast<std::size_t>(reason)];
    if (count > 0) part.add(framework::kFailures, static_cast<double>(count), reason_name(reason));
  }
  if (results_.parts_ok + results_.parts_failed > 0) {
    part.add(framework::kParts, static_cast<double>(results_.parts_ok), "ok");
    part.add(framework::kParts, static_cast<double>(results_.parts_failed), "failed");
  }
  if (results_.up) {
    part.add(framework::kTargetUp, *results_.up ? 1 : 0, kind.name);
    if (kind.up != nullptr) part.add_values(*kind.up, *results_.up ? 1 : 0, {});
  }
  return part;
}

}  // namespace vitalsd
