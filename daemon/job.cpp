#include "daemon/job.hpp"

#include "daemon/checks.hpp"
#include "daemon/framework_metrics.hpp"
#include "daemon/log.hpp"
#include "daemon/units.hpp"
#include "exporter/model/text_format.hpp"
#include "probes/shard.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using SystemClock = std::chrono::system_clock;

// How long a cancelled run may take to unwind before due times call it stuck.
constexpr auto kGrace = 200ms;
// How many intervals, and a timeout, a reading may outlive its last renewal.
constexpr int kReadingIntervals = 3;

double to_unix(SystemClock::time_point time) {
  return std::chrono::duration<double>(time.time_since_epoch()).count();
}

// The share of its interval, 0 to 1, by which a probe is late.
double phase_of(std::string_view name) {
  return std::ldexp(static_cast<double>(stable_hash(name)), -64);
}

Job::Clock::duration fraction(config::Duration whole, double share) {
  return std::chrono::duration_cast<Job::Clock::duration>(std::chrono::duration<double>(whole) *
                                                          share);
}

// What libraries take for the target's fault while there are no descriptors says nothing of it.
void blame_ourselves(std::optional<Failure>& failure) {
  constexpr std::array kTheirs = {Reason::dns, Reason::connect, Reason::tls, Reason::protocol};
  if (!failure || std::ranges::find(kTheirs, failure->reason) == kTheirs.end()) return;
  if (!out_of_descriptors()) return;
  failure->reason = Reason::internal;
  failure->detail = "no file descriptor is left (" + failure->detail + ')';
}

// What a run threw, as a failure.
Failure to_failure(const std::exception_ptr& error) {
  try {
    std::rethrow_exception(error);
  } catch (const ProbeError& e) {
    return {e.reason(), e.what()};
  } catch (const boost::system::system_error& e) {
    const bool ours = is_our_shortage(e.code().value());
    return {ours ? Reason::internal : Reason::connect, error_text(e.code())};
  } catch (const std::exception& e) {
    return {Reason::internal, e.what()};
  }
}

}  // namespace

// One run and all it needs. The coroutine holds it by value, so it may outlive its job.
struct Job::Run {
  Job* job = nullptr;  // null once the job has given it up
  std::shared_ptr<Probe> probe;
  SampleSet set;
  boost::asio::cancellation_signal cancel;
  Gate::Ticket slot;
  Clock::time_point began{};
  bool begun = false;
  bool over = false;
};

Job::Job(const JobServices& services, JobSpec spec)
    : services_(services), due_timer_([this] { due(); }), deadline_timer_([this] { deadline(); }) {
  ProbeView view;
  view.name = spec.name;
  row_ = std::make_unique<Board::Row>(services_.board, std::move(view));
  install(std::move(spec));
}

Job::~Job() {
  stop();
  if (first_end_) first_end_();  // it will not come to a first run any more
}

void Job::stop() {
  due_timer_.disarm();
  deadline_timer_.disarm();
  if (!run_) return;
  if (!run_->begun) {
    withdraw();
    return;
  }
  abandoned_ = std::move(run_);
  abandoned_->job = nullptr;
  const auto run = abandoned_;  // cancelling may destroy what it cancels
  run->cancel.emit(boost::asio::cancellation_type::terminal);
}

// Gives up waiting for a slot.
void Job::withdraw() {
  run_->job = nullptr;
  run_->slot.leave();
  run_.reset();
}

bool Job::same(const JobSpec& spec) const {
  const JobSpec& mine = next_spec_ ? *next_spec_ : spec_;
  return spec.kind == mine.kind && spec.fingerprint == mine.fingerprint &&
         spec.interval == mine.interval && spec.timeout == mine.timeout;
}

bool Job::running() const { return (run_ && run_->begun) || (abandoned_ && !abandoned_->over); }

std::string Job::constant_labels() const {
  std::string labels;
  append_label(labels, "probe", spec_.name);
  for (const auto& [name, value] : spec_.labels) append_label(labels, name, printable_utf8(value));
  return labels;
}

void Job::install(JobSpec spec) {
  const bool first = !ledger_;
  const std::string old_labels = first ? "" : constant_labels();
  const std::string target = spec.probe->target();
  const bool same_target = !first && spec.kind == spec_.kind && target == probe_->target();
  JobMemory kept;
  if (same_target) {
    kept = {last_success_, ledger_->facts()};
    if (!abandoned_ || abandoned_->over) {
      spec.probe->inherit(*probe_);
    } else if (Notes* notes = probe_->notes()) {
      kept.notes = notes->serialize();
    }
  }
  spec_ = std::move(spec);
  probe_ = std::move(spec_.probe);
  endpoint_ = probe_->endpoint();
  schedule_lag_ = &services_.metrics.schedule_lag(spec_.kind->name);
  // A ledger's lines carry target and labels: where neither has changed, readings stay too.
  if (!same_target || constant_labels() != old_labels) {
    ledger_.reset();
    ledger_ = std::make_unique<Ledger>(services_.exposition, spec_.name, constant_labels());
    if (!same_target) {
      success_.reset();
      up_.reset();
      last_success_.reset();
      parts_ok_ = parts_failed_ = 0;
    }
    restore(kept);
  } else if (!kept.notes.empty()) {
    restore({.last_success = {}, .facts = {}, .notes = std::move(kept.notes)});
  }
  row_->update([&](ProbeView& view) {
    view.kind = spec_.kind->name;
    view.target = target;
    view.interval = spec_.interval;
    if (same_target) return;
    view.state = ProbeView::State::pending;
    view.reason = {};
    view.detail.clear();
    view.checks.clear();
    view.since.reset();
  });
  if (!first) ledger_->publish(framework_part());
}

void Job::replace(JobSpec spec) {
  if (run_ && !run_->begun) withdraw();  // the new probe asks anew
  if (run_) {
    next_spec_ = std::make_unique<JobSpec>(
        std::move(spec));  // installed when the run has ended, or been given up
    return;
  }
  install(std::move(spec));
  start(Clock::now());
}

void Job::start(Clock::time_point first) {
  ledger_->publish(framework_part());
  const auto spread = spec_.kind->first_at_once
                          ? config::Duration::zero()
                          : std::min(services_.first_run_within, spec_.interval);
  phased_ = false;
  next_due_ = first + fraction(spread, phase_of(spec_.name));
  services_.wheel.arm(due_timer_, next_due_);
}

// The next due time after `now` in the job's phase, which is the same on every start.
void Job::arm_next(Clock::time_point now) {
  const Clock::duration interval = spec_.interval;
  const Clock::duration phase = fraction(spec_.interval, phase_of(spec_.name));
  Clock::time_point next = now - (now.time_since_epoch() - phase) % interval + interval;
  if (!phased_) {
    // Not on the heels of the first run, nor in the middle of it.
    if (next - now < std::max<Clock::duration>(interval / 2, spec_.timeout)) next += interval;
    phased_ = true;
  } else {
    // Due times that passed unserved are counted, never made up for.
    for (auto missed = (next - next_due_) / interval; missed > 1; --missed) count(Outcome::skipped);
  }
  next_due_ = next;
  services_.wheel.arm(due_timer_, next_due_);
}

void Job::due() {
  const Clock::time_point now = Clock::now();
  if (run_ && run_->begun && now - run_->began >= spec_.timeout) deadline();
  if (abandoned_ && !abandoned_->over && now - abandoned_at_ < kGrace) {
    services_.wheel.arm_after(due_timer_, net::TimerWheel::kSlot);  // it is just unwinding
    return;
  }
  const Clock::time_point was_due = next_due_;
  arm_next(now);
  if (run_) {
    if (run_->begun) {
      skip(Outcome::skipped);
      return;
    }
    withdraw();  // no slot came free in a whole interval
    skip(Outcome::skipped);
  }
  if (abandoned_ && !abandoned_->over) {
    skip(Outcome::stuck);
    return;
  }
  abandoned_.reset();
  schedule_lag_->Observe(std::chrono::duration<double>(now - was_due).count());
  run_ = std::make_shared<Run>();
  run_->job = this;
  const std::weak_ptr<Run> weak = run_;
  services_.gate.enter(run_->slot, endpoint_, [weak] {
    const auto run = weak.lock();
    if (run && run->job != nullptr) run->job->begin();
  });
}

void Job::begin() {
  const auto run = run_;
  run->probe = probe_;
  run->began = Clock::now();
  run->begun = true;
  run->set.set_time_limit(spec_.timeout);
  run->set.set_constant_labels(ledger_->constant_labels());
  services_.wheel.arm(deadline_timer_, run->began + spec_.timeout);
  boost::asio::co_spawn(
      services_.loop, observe(run),
      boost::asio::bind_cancellation_slot(
          run->cancel.slot(), [run](const std::exception_ptr& error) { finished(run, error); }));
}

asio::awaitable<void> Job::observe(std::shared_ptr<Run> run) {
  co_await run->probe->observe(run->set);
}

void Job::finished(const std::shared_ptr<Run>& run, const std::exception_ptr& error) {
  run->over = true;
  run->probe.reset();
  run->slot.leave();
  if (run->job == nullptr) return;
  run->job->ended(error ? std::optional(to_failure(error)) : std::nullopt);
}

void Job::deadline() {
  const auto run = run_;
  std::string detail = "no answer within " + config::Scalar<config::Duration>::show(spec_.timeout);
  if (!run->set.step().empty()) detail += " while " + run->set.step();
  abandoned_ = run;
  abandoned_at_ = Clock::now();
  ended(Failure{Reason::timeout, std::move(detail)});
  run->cancel.emit(boost::asio::cancellation_type::terminal);
}

void Job::ended(std::optional<Failure> thrown) {
  blame_ourselves(thrown);
  const auto run = std::move(run_);
  run->job = nullptr;
  deadline_timer_.disarm();
  const Clock::time_point now = Clock::now();
  const std::optional<Failure> failure = run->set.overall(thrown);
  duration_ = std::chrono::duration<double>(now - run->began).count();
  success_ = !failure;
  up_ = up_after(failure);
  if (failure) {
    ++failures_[static_cast<std::size_t>(failure->reason)];
  } else {
    last_success_ = SystemClock::now();
  }
  count(failure ? Outcome::failed : Outcome::ok);
  const std::vector<CheckResult> checks =
      judge_checks(run->set, spec_.kind->checks, spec_.thresholds);
  for (const CheckResult& result : checks) {  // with the run's own samples, whose rules they follow
    run->set.add(framework::kCheckStatus, static_cast<double>(result.status), result.check->name);
  }
  count_parts(run->set, thrown);
  const std::size_t duplicates = ledger_->duplicates();
  ledger_->publish(run->set, thrown, framework_part(), now);
  if (ledger_->duplicates() != duplicates) {
    services_.metrics.count_dropped_samples(ledger_->duplicates() - duplicates);
  }
  note(failure, checks);
  if (next_spec_) {
    const auto next = std::move(next_spec_);
    replace(std::move(*next));
  }
  if (first_end_) std::exchange(first_end_, nullptr)();
}

// A due time at which nothing was observed.
void Job::skip(Outcome outcome) {
  count(outcome);
  if (outcome == Outcome::stuck) {
    success_ = false;
    up_ = false;
  }
  ledger_->publish(framework_part());
  // A run that ends renews readings or counts them out; only where none does they grow old. What
  // would be too old before the next due time goes now.
  ledger_->expire(Clock::now() - (kReadingIntervals - 1) * spec_.interval - spec_.timeout);
  row_->update([&](ProbeView& view) {
    view.history = view.history << 2 | 3;
    if (outcome != Outcome::stuck || view.state == ProbeView::State::stuck) return;
    view.state = ProbeView::State::stuck;
    view.since = SystemClock::now();
  });
  if (outcome == Outcome::stuck && runs_[static_cast<std::size_t>(Outcome::stuck)] == 1) {
    log::error("probe is stuck: a cancelled run does not end",
               {{"probe", spec_.name}, {"kind", std::string(spec_.kind->name)}});
  }
  if (first_end_) std::exchange(first_end_, nullptr)();
}

// A failure of ours says nothing of the target: what was known stays for one such run, as readings
// do, and goes with the second.
std::optional<bool> Job::up_after(const std::optional<Failure>& failure) {
  const bool ours = failure && !is_up(failure->reason);
  const bool second = std::exchange(blind_, ours);
  if (!failure) return true;
  if (!ours) return is_up(failure->reason);
  return second ? std::nullopt : up_;
}

void Job::count(Outcome outcome) { ++runs_[static_cast<std::size_t>(outcome)]; }

Part Job::framework_part() const {
  Part part;
  if (success_) part.add(framework::kSuccess, *success_ ? 1 : 0);
  if (success_) part.add(framework::kDuration, duration_);
  if (last_success_) part.add(framework::kLastSuccess, to_unix(*last_success_));
  for (const Outcome outcome : kOutcomes) {
    const std::uint32_t count = runs_[static_cast<std::size_t>(outcome)];
    const bool from_start = outcome == Outcome::ok || outcome == Outcome::failed;
    if (from_start || count > 0) {
      part.add(framework::kRuns, static_cast<double>(count), outcome_name(outcome));
    }
  }
  for (const Reason reason : kReasons) {
    const std::uint32_t count = failures_[static_cast<std::size_t>(reason)];
    if (count > 0) part.add(framework::kFailures, static_cast<double>(count), reason_name(reason));
  }
  if (parts_ok_ + parts_failed_ > 0) {
    part.add(framework::kParts, static_cast<double>(parts_ok_), "ok");
    part.add(framework::kParts, static_cast<double>(parts_failed_), "failed");
  }
  if (up_) {
    part.add(framework::kTargetUp, *up_ ? 1 : 0, spec_.kind->name);
    if (spec_.kind->up != nullptr) part.add_values(*spec_.kind->up, *up_ ? 1 : 0, {});
  }
  return part;
}

void Job::count_parts(const SampleSet& set, const std::optional<Failure>& thrown) {
  parts_ok_ = parts_failed_ = 0;
  for (const auto& [key, part] : set.parts()) {
    ++(SampleSet::outcome_of(part, thrown) ? parts_failed_ : parts_ok_);
  }
}

// Tells page and log. The log hears of changes only.
void Job::note(const std::optional<Failure>& failure, const std::vector<CheckResult>& checks) {
  const auto now = SystemClock::now();
  const ProbeView& before = row_->view();
  const auto state = failure ? ProbeView::State::failed : ProbeView::State::ok;
  const std::string_view reason = failure ? reason_name(failure->reason) : "";
  const bool changed = before.state != state || before.reason != reason;
  if (changed && failure) {
    log::warn("probe failed", {{"probe", spec_.name},
                               {"kind", std::string(spec_.kind->name)},
                               {"target", before.target},
                               {"reason", std::string(reason)},
                               {"error", failure->detail}});
  } else if (changed && before.state != ProbeView::State::pending) {
    log::info("probe recovered", {{"probe", spec_.name},
                                  {"kind", std::string(spec_.kind->name)},
                                  {"after", format_duration(now - before.since.value_or(now))}});
  }
  row_->update([&](ProbeView& view) {
    if (view.state != state) view.since = now;
    view.state = state;
    view.reason = reason;
    view.detail = failure ? printable_utf8(failure->detail) : "";
    view.last_run = now;
    view.last_success = last_success_;
    view.duration_seconds = duration_;
    view.history = view.history << 2 | (failure ? 2U : 1U);
    // A failed run without readings leaves the last verdicts standing, beside its failure.
    if (!checks.empty() || !failure) view.checks = to_views(checks);
  });
}

JobMemory Job::memory() const {
  JobMemory memory{last_success_, ledger_->facts()};
  if (Notes* notes = probe_->notes()) memory.notes = notes->serialize();
  return memory;
}

void Job::saved() {
  if (Notes* notes = probe_->notes()) notes->saved();
}

void Job::forgo_saving() {
  Notes* notes = probe_->notes();
  if (notes == nullptr) return;
  notes->serialize();
  notes->saved();
}

std::uint64_t Job::memory_version() const {
  const Notes* notes = probe_->notes();
  return ledger_->fact_version() + (notes != nullptr ? notes->version() : 0);
}

void Job::restore(const JobMemory& memory) {
  if (memory.last_success) last_success_ = memory.last_success;
  if (!memory.facts.empty()) ledger_->restore(memory.facts, spec_.kind->metrics);
  if (Notes* notes = probe_->notes(); notes != nullptr && !memory.notes.empty()) {
    notes->restore(memory.notes);
  }
  row_->update([&](ProbeView& view) { view.last_success = last_success_; });
}

}  // namespace vitalsd
