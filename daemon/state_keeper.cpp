#include "daemon/state_keeper.hpp"

#include "daemon/log.hpp"

#include <algorithm>
#include <exception>
#include <expected>
#include <utility>

#include <boost/asio/co_spawn.hpp>

namespace vitalsd {
namespace {

// The minimum time between urgent saves is this multiple of the duration of the last save, and at
// most `min_interval`.
constexpr int kPausePerSave = 10;

}  // namespace

StateKeeper::StateKeeper(asio::io_context& loop, net::TimerWheel& wheel, Scheduler& scheduler,
                         const Leadership& leadership, SelfMetrics& metrics, const Shard& shard,
                         const StatePace& pace)
    : loop_(loop),
      wheel_(wheel),
      scheduler_(scheduler),
      leadership_(leadership),
      metrics_(metrics),
      shard_(shard),
      pace_(pace),
      read_timer_([this] { time_out_reading(); }),
      thread_(loop, 1) {}

// Runs `work` on the thread, after all earlier work, and then `then` with its result on the loop.
// An exception is reported as an error of saving.
template <class Work, class Then>
void StateKeeper::submit(Work work, Then then) {
  ++pending_count_;
  const auto run = [](StateKeeper& self, Work task, Then after) -> asio::awaitable<void> {
    after(co_await self.thread_.run("the state file", std::move(task)));
  };
  asio::co_spawn(loop_, run(*this, std::move(work), std::move(then)),
                 [this](const std::exception_ptr& error) {
                   --pending_count_;
                   if (!error) return;
                   try {
                     std::rethrow_exception(error);
                   } catch (const std::exception& e) {
                     report({StateFile::Saved::failed, e.what()});
                   }
                 });
}

void StateKeeper::set_directory(const std::string& directory) {
  directory_ = directory;
  if (stage_ != Stage::started || directory_ == opened_)
    return;  // finish_start() repeats this call
  open();
  if (file_) load();
}

void StateKeeper::open() {
  stop_.stop();
  stop_ = {};
  file_.reset();
  is_readable_ = false;
  saved_version_.reset();
  saved_at_.reset();
  ++last_save_;  // the result of a save in progress is ignored
  save_duration_ = {};
  is_saving_ = false;
  opened_ = directory_;
  if (directory_.empty()) {
    set_problem("");
    metrics_.forget_state();
    end_waits();
    return;
  }
  file_ = std::make_shared<StateFile>(directory_, shard_);
}

void StateKeeper::load() {
  submit([file = file_](const net::StopFlag&) { return file->load(); },
         [this, file = file_](const std::expected<SavedState, StateFile::Unusable>& state) {
           if (file != file_) return;
           read(state);
           if (is_finishing_ && is_readable_) save();
         });
}

void StateKeeper::start(std::function<void()> done) {
  loaded_.clear();
  open();
  done_ = std::move(done);
  if (!file_) {
    finish_start();
    return;
  }
  stage_ = Stage::reading;
  wheel_.arm_after(read_timer_, pace_.read_timeout);
  load();
}

void StateKeeper::read(const std::expected<SavedState, StateFile::Unusable>& state) {
  is_readable_ = state || !state.error().is_transient;
  if (is_readable_) on_read(state ? "" : state.error().problem);
  if (state) {
    loaded_ = *state;
  } else {
    report_unreadable(state.error().problem);
  }
  if (stage_ == Stage::reading) {
    finish_start();
  } else if (state) {
    restore_late();
  }
  if (is_readable_) end_waits();
}

void StateKeeper::time_out_reading() {
  report_unreadable("the disk of " + file_->path() + " does not respond");
  finish_start();
}

// Returns whether the problem has changed.
bool StateKeeper::set_problem(const std::string& problem) {
  if (problem == problem_) return false;
  problem_ = problem;
  on_problem(problem_);
  return true;
}

// Logs changes only, because reading is retried periodically.
void StateKeeper::report_unreadable(const std::string& problem) {
  if (!is_readable_) {
    metrics_.set_state_saved(false);
    refuse_saving();
  }
  if (!set_problem(problem)) return;
  log::error("starting without the saved state", {{"file", file_->path()}, {"error", problem}});
}

void StateKeeper::finish_start() {
  read_timer_.disarm();
  stage_ = Stage::started;
  std::exchange(done_, nullptr)();
  set_directory(directory_);  // it may have changed while the file was read
}

// Restores jobs that are already running, after the file became readable or another file was
// configured. What jobs have observed or received since their start is kept.
void StateKeeper::restore_late() {
  for (const auto& [name, job] : scheduler_.jobs()) {
    if (const JobMemory* memory = saved_of(*job)) job->restore_missing(*memory);
  }
  if (!scheduler_.jobs().empty()) loaded_.clear();
}

void StateKeeper::end_waits() {
  for (const auto& [name, job] : scheduler_.jobs()) job->end_wait();
}

void StateKeeper::restore(Job& job) const {
  if (file_ && !is_readable_) {
    job.wait_for_state();
  } else if (const JobMemory* memory = saved_of(job)) {
    job.restore(*memory);
  }
}

// Returns the saved state of the job. Null if there is none with the same kind and target.
const JobMemory* StateKeeper::saved_of(const Job& job) const {
  const auto saved = loaded_.find(job.spec().name);
  const bool is_same = saved != loaded_.end() && saved->second.kind == job.spec().kind->name &&
                       saved->second.target == job.target();
  return is_same ? &saved->second.memory : nullptr;
}

std::uint64_t StateKeeper::version() const {
  std::uint64_t version = 0;
  for (const auto& [name, job] : scheduler_.jobs()) version += job->memory_version();
  return version;
}

SavedState StateKeeper::current() const {
  SavedState state = loaded_;  // includes jobs that do not exist yet
  for (const auto& [name, job] : scheduler_.jobs()) {
    JobMemory memory = job->memory();
    if (!memory.last_success && memory.facts.empty() && memory.notes.empty()) continue;
    state[name] = {std::string(job->spec().kind->name), job->target(), std::move(memory)};
  }
  return state;
}

void StateKeeper::save_if_due() {
  if (stage_ != Stage::started || is_saving_ || !leadership_.leads()) return;
  const std::uint64_t now_version = version();
  const auto age = saved_at_ ? Clock::now() - *saved_at_ : Clock::duration::max();
  const bool waits = file_ != nullptr && !is_urgent_;
  const auto rest = std::min<Clock::duration>(kPausePerSave * save_duration_, pace_.min_interval);
  const auto interval =
      waits ? pace_.min_interval : std::max<Clock::duration>(pace_.short_interval, rest);
  // An urgent change is saved even if the version is equal: the version is a sum, so a change and
  // the removal of a job can cancel out.
  const bool is_unchanged = now_version == saved_version_ && !is_urgent_;
  if (age < interval || (is_unchanged && age < pace_.max_interval)) return;
  saved_at_ = Clock::now();
  if (file_ && !is_readable_) {
    if (pending_count_ == 0) {
      load();
    } else {
      refuse_saving();
    }
    return;
  }
  saved_version_ = now_version;
  is_urgent_ = false;
  if (file_) {
    save();
  } else {
    for (const auto& [name, job] : scheduler_.jobs()) job->skip_saving();
  }
}

void StateKeeper::save_soon() {
  is_urgent_ = true;
  save_if_due();
}

// Answers the waiting requests with 503. Otherwise their senders would wait until the file can be
// read.
void StateKeeper::refuse_saving() {
  for (const auto& [name, job] : scheduler_.jobs()) job->refuse_saving();
}

// The thread also serializes the state, because that takes long if there is much.
void StateKeeper::save() {
  is_saving_ = true;
  const auto start = Clock::now();
  // The thread checks the lease again before it replaces the file, because the loop may learn late
  // that the lease is lost.
  submit(
      [file = file_, stop = stop_, &leadership = leadership_,
       state = current()](const net::StopFlag&) {
        return file->save(serialize_state(state),
                          [&] { return !stop.stopped() && leadership.leads(); });
      },
      [this, start, number = ++last_save_](const StateFile::Result& result) {
        // A later save has serialized the notes again, so they wait for the result of that save.
        if (number != last_save_) return;
        save_duration_ = Clock::now() - start;
        report(result);
      });
}

// Logs changes only: a disk may stay full for days.
void StateKeeper::report(const StateFile::Result& result) {
  is_saving_ = false;
  // The next call of save_if_due() retries.
  if (result.saved != StateFile::Saved::yes) saved_version_.reset();
  if (result.saved == StateFile::Saved::cancelled) return;
  if (result.saved == StateFile::Saved::changed) {
    is_readable_ = false;
    if (is_finishing_) load();
    return;
  }
  const bool saved = result.saved == StateFile::Saved::yes;
  metrics_.set_state_saved(saved);
  // Also after a failure: counts that cannot be saved are published anyway.
  for (const auto& [name, job] : scheduler_.jobs()) job->mark_saved(saved);
  if (!set_problem(result.problem)) return;
  if (saved && problem_.empty()) {
    log::info("state is saved again", {{"file", file_ ? file_->path() : ""}});
  } else if (saved) {
    log::warn("state is saved", {{"problem", problem_}});
  } else {
    log::error("state is not saved", {{"error", problem_}});
  }
}

void StateKeeper::finish() {
  if (stage_ != Stage::started || !file_) return;
  is_finishing_ = true;
  if (is_readable_) {
    save();
  } else if (pending_count_ == 0) {
    load();
  }
}

void StateKeeper::stop() {
  stage_ = Stage::stopped;
  is_saving_ = false;
  is_finishing_ = false;
  read_timer_.disarm();
  done_ = nullptr;
  loaded_.clear();
  stop_.stop();
  set_problem("");  // another process now maintains the state
  // The destructor of the file releases the lock. It runs here, or on the state thread if that
  // thread still uses the file.
  file_.reset();
}

}  // namespace vitalsd
