#include "daemon/job.hpp"

#include "daemon/checks.hpp"
#include "daemon/framework_metrics.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>
#include <utility>

namespace vitalsd {
namespace {

using SystemClock = std::chrono::system_clock;

// A reading that no run renews is dropped after this many intervals and one timeout.
constexpr int kReadingIntervals = 3;

// Runs in place of a probe whose notes have not been read.
class WaitingProbe final : public Probe {
 public:
  asio::awaitable<void> observe(SampleSet& /*out*/) override {
    throw ProbeError(Reason::internal,
                     "waits for the saved state, which cannot be read: see the problem with the "
                     "state file");
    co_return;
  }
  [[nodiscard]] std::string target() const override { return {}; }
};

}  // namespace

Job::Job(const JobServices& services, JobSpec spec)
    : services_(services),
      report_(services.board, spec.name),
      schedule_(spec.name),
      due_timer_([this] { due(); }) {
  install(std::move(spec));
}

Job::~Job() {
  stop();
  report_first_outcome();
}

void Job::stop() {
  due_timer_.disarm();
  if (run_ && run_->has_started()) {
    cancelled_ = std::move(run_);
    cancelled_->abandon();
  }
  run_.reset();
}

bool Job::matches(const JobSpec& spec) const {
  const JobSpec& current = next_spec_ ? *next_spec_ : spec_;
  return spec.kind == current.kind && spec.fingerprint == current.fingerprint &&
         spec.interval == current.interval && spec.timeout == current.timeout;
}

bool Job::running() const {
  return (run_ && run_->is_observing()) || (cancelled_ && cancelled_->is_observing());
}

std::string Job::constant_labels() const {
  std::string labels;
  append_label(labels, "probe", spec_.name);
  for (const auto& [name, value] : spec_.labels) append_label(labels, name, printable_utf8(value));
  // The last label, because Part::render may replace it.
  append_label(labels, "instance", spec_.name);
  return labels;
}

Part Job::framework_samples() const {
  Part part = account_.samples(*spec_.kind);
  part.add(framework::kStatus, static_cast<double>(report_.verdict()));
  return part;
}

void Job::install(JobSpec spec) {
  const bool is_first = !ledger_;
  const std::string old_labels = is_first ? "" : constant_labels();
  const std::string target = spec.probe->target();
  const bool same_target = !is_first && spec.kind == spec_.kind && target == probe_->target();
  JobMemory kept;
  if (same_target) {
    kept = {account_.last_success(), ledger_->facts(), {}, account_.fact_times()};
    if (!cancelled_ || !cancelled_->is_observing()) {
      spec.probe->inherit(*probe_);
    } else if (Notes* notes = probe_->notes()) {
      kept.notes = notes->serialize();
    }
  }
  spec_ = std::move(spec);
  probe_ = std::move(spec_.probe);
  if (!same_target) {
    const Notes* const notes = probe_->notes();
    new_notes_ = notes != nullptr ? std::optional(notes->version()) : std::nullopt;
  }
  waits_for_state_ = waits_for_state_ && probe_->notes() != nullptr;
  endpoint_ = probe_->endpoint();
  schedule_lag_ = &services_.metrics.schedule_lag(spec_.kind->name);
  // The published lines contain the labels, so they are kept only if neither target nor labels have
  // changed.
  if (!same_target || constant_labels() != old_labels) {
    ledger_.reset();
    ledger_ = std::make_unique<Ledger>(services_.exposition, spec_.name, constant_labels());
    if (!same_target) account_.forget_results();
    restore(kept);
  } else if (!kept.notes.empty()) {
    restore({.last_success = {},
             .facts = {},
             .notes = std::move(kept.notes),
             .fact_times = std::move(kept.fact_times)});
  }
  report_.configure({.kind = spec_.kind->name,
                     .target = target,
                     .labels = spec_.labels,
                     .options = spec_.options,
                     .interval = spec_.interval,
                     .timeout = spec_.timeout},
                    same_target);
  if (!same_target) last_end_.reset();
  if (!is_first) ledger_->publish(framework_samples());
}

void Job::replace(JobSpec spec) {
  if (run_ && run_->has_started()) {
    next_spec_ = std::make_unique<JobSpec>(std::move(spec));
    return;
  }
  run_.reset();  // leaves the gate's queue: it would run the old probe
  install(std::move(spec));
  start(Clock::now());
}

void Job::start(Clock::time_point now) {
  ledger_->publish(framework_samples());
  const auto spread = spec_.kind->watching != nullptr && spec_.kind->watching->first_run_at_once
                          ? config::Duration::zero()
                          : std::min(services_.first_run_within, spec_.interval);
  schedule_.start(now, spread);
  wait_until_due(now);
}

void Job::wait_until_due(Clock::time_point now) {
  services_.wheel.arm(due_timer_, schedule_.next());
  report_.set_next_run(SystemClock::now() +
                       std::chrono::duration_cast<SystemClock::duration>(schedule_.next() - now));
}

void Job::move_schedule(Clock::time_point now) {
  const auto missed = schedule_.advance(now, spec_.interval, spec_.timeout);
  account_.add_skipped(static_cast<std::size_t>(missed));
  wait_until_due(now);
}

void Job::due() {
  const Clock::time_point now = Clock::now();
  if (run_) run_->check_deadline(now);
  if (cancelled_ && cancelled_->is_unwinding(now)) {
    services_.wheel.arm_after(due_timer_, net::TimerWheel::kSlot);
    return;
  }
  const Clock::time_point was_due = schedule_.next();
  move_schedule(now);
  if (run_) {
    const bool is_queued = !run_->has_started();
    if (is_queued) run_.reset();  // the request has waited for a whole interval without a slot
    skip(Outcome::skipped);
    if (!is_queued) return;
  }
  if (cancelled_ && cancelled_->is_observing()) {
    skip(Outcome::stuck);
    return;
  }
  cancelled_.reset();
  schedule_lag_->Observe(std::chrono::duration<double>(now - was_due).count());
  start_run();
}

void Job::start_run() {
  // The callback may use `this`: the destructor abandons the run.
  const auto run = std::make_shared<Run>(
      services_.loop, services_.wheel,
      Run::Options{.probe = waits_for_state_ ? std::make_shared<WaitingProbe>() : probe_,
                   .endpoint = endpoint_,
                   .timeout = spec_.timeout,
                   .constant_labels = ledger_->constant_labels()},
      [this](const std::optional<Failure>& thrown) { end_run(thrown); });
  run_ = run;
  run->enter(services_.gate);
}

void Job::end_run(const std::optional<Failure>& thrown) {
  const auto run = std::move(run_);
  if (run->is_observing()) cancelled_ = run;
  SampleSet& set = run->set();
  const Clock::time_point now = Clock::now();
  const std::optional<Failure> failure = set.overall(thrown);
  const std::vector<CheckResult> checks = judge_checks(set, spec_.kind->checks, spec_.checks);
  // Statuses are added to the samples of the run, so that the same rules keep and remove them.
  for (const CheckResult& result : checks) {
    set.add(framework::kCheckStatus, static_cast<double>(result.status), result.check->name);
  }
  account_.add_run(set, failure, thrown, now - run->started_at(), SystemClock::now());
  last_end_ = now;
  // A probe that receives reports has readings once one has arrived or is late, also for checks
  // that are off.
  report_.add_run(
      {.failure = failure,
       .waits = set.checks().empty() && probe_->receiver() != nullptr,
       .message = set.message(),
       .checks = to_views(checks),
       .keeps_checks = checks.empty() && ledger_->keeps(framework::kCheckStatus,
                                                        thrown ? thrown : set.failure(), now),
       .duration = now - run->started_at(),
       .last_success = account_.last_success()});
  const std::size_t duplicates = ledger_->duplicates();
  ledger_->publish(set, thrown, framework_samples(), now);
  if (ledger_->duplicates() != duplicates) {
    services_.metrics.count_dropped_samples(ledger_->duplicates() - duplicates);
  }
  if (next_spec_) {
    const auto next = std::move(next_spec_);
    replace(std::move(*next));
  }
  report_first_outcome();
}

// Records a due time without a run.
void Job::skip(Outcome outcome) {
  const bool is_stuck = outcome == Outcome::stuck;
  if (is_stuck) {
    account_.add_stuck();
  } else {
    account_.add_skipped();
  }
  // Expires readings that no run renews. Readings that would be too old before the next due time
  // are removed now.
  const auto oldest = Clock::now() - (kReadingIntervals - 1) * spec_.interval - spec_.timeout;
  ledger_->expire(oldest);
  if (is_stuck) {
    report_.add_stuck(ledger_->holds(framework::kCheckStatus));
  } else {
    report_.add_skipped(last_end_ && *last_end_ < oldest, ledger_->holds(framework::kCheckStatus));
  }
  ledger_->publish(framework_samples());
  report_first_outcome();
}

void Job::report_first_outcome() {
  if (on_first_outcome_) std::exchange(on_first_outcome_, nullptr)();
}

JobMemory Job::memory() const {
  JobMemory memory{account_.last_success(), ledger_->facts(), {}, account_.fact_times()};
  if (Notes* notes = probe_->notes()) memory.notes = notes->serialize();
  return memory;
}

void Job::mark_saved(bool saved) {
  Notes* notes = probe_->notes();
  if (notes == nullptr) return;
  if (saved) {
    notes->saved();
  } else {
    notes->save_failed();
  }
}

void Job::skip_saving() {
  Notes* notes = probe_->notes();
  if (notes == nullptr) return;
  notes->serialize();  // saved() applies to the text that was serialized last
  notes->saved();
}

void Job::refuse_saving() {
  Notes* notes = probe_->notes();
  if (notes == nullptr) return;
  notes->serialize();
  notes->save_failed();
}

std::uint64_t Job::memory_version() const {
  const Notes* notes = probe_->notes();
  return ledger_->fact_version() + (notes != nullptr ? notes->version() : 0);
}

void Job::restore(const JobMemory& memory) {
  if (memory.last_success) account_.set_last_success(*memory.last_success);
  if (!memory.facts.empty()) ledger_->restore(memory.facts, spec_.kind->metrics);
  Account::FactTimes fact_times = memory.fact_times;
  for (const StoredFact& fact : memory.facts) {  // the file of an earlier version contains no times
    if (memory.last_success) fact_times.try_emplace(fact.part, *memory.last_success);
  }
  account_.set_fact_times(std::move(fact_times));
  if (Notes* notes = probe_->notes(); notes != nullptr && !memory.notes.empty()) {
    notes->restore(memory.notes);
    new_notes_.reset();
  }
  report_.set_last_success(account_.last_success());
}

void Job::wait_for_state() { waits_for_state_ = probe_->notes() != nullptr; }

void Job::restore_missing(JobMemory memory) {
  const Notes* const notes = probe_->notes();
  if (notes == nullptr || new_notes_ != notes->version()) memory.notes.clear();
  if (account_.last_success() || !ledger_->facts().empty()) {
    memory.last_success = account_.last_success();
    memory.facts.clear();
    memory.fact_times = account_.fact_times();
  }
  restore(memory);
}

}  // namespace vitalsd
