#include "daemon/state_keeper.hpp"

#include "daemon/log.hpp"

#include <exception>
#include <expected>
#include <utility>

#include <boost/asio/co_spawn.hpp>

namespace vitalsd {

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
      patience_([this] { give_up_reading(); }),
      thread_(loop, 1) {}

// Does `work` on the thread and then `then` with its result here, both after all that was submitted
// before. An exception of `work` is a problem like any other.
template <class Work, class Then>
void StateKeeper::submit(Work work, Then then) {
  ++pending_;
  const auto run = [](StateKeeper& self, Work task, Then after) -> asio::awaitable<void> {
    after(co_await self.thread_.run("the state file", std::move(task)));
  };
  asio::co_spawn(loop_, run(*this, std::move(work), std::move(then)),
                 [this](const std::exception_ptr& error) {
                   --pending_;
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
  if (stage_ != Stage::begun || directory_ == opened_) return;  // else when it has begun
  open();
  if (file_) load();
}

void StateKeeper::open() {
  stop_.stop();
  stop_ = {};
  file_.reset();
  readable_ = false;
  saved_version_.reset();
  saved_at_ = {};
  opened_ = directory_;
  if (!directory_.empty()) file_ = std::make_shared<StateFile>(directory_, shard_);
}

void StateKeeper::load() {
  submit([file = file_](const net::StopFlag&) { return file->load(); },
         [this, file = file_](const std::expected<SavedState, StateFile::Unusable>& state) {
           if (file != file_) return;
           read(state);
           if (finishing_ && readable_) save();
         });
}

void StateKeeper::begin(std::function<void()> done) {
  recalled_.clear();
  open();
  done_ = std::move(done);
  if (!file_) {
    begun_now();
    return;
  }
  stage_ = Stage::reading;
  wheel_.arm_after(patience_, pace_.patience);
  load();
}

void StateKeeper::read(const std::expected<SavedState, StateFile::Unusable>& state) {
  readable_ = state || !state.error().for_now;
  if (state) {
    recalled_ = *state;
  } else {
    go_without(state.error().problem);
  }
  if (stage_ == Stage::reading) {
    begun_now();
  } else if (state) {
    give_late();
  }
}

void StateKeeper::give_up_reading() {
  go_without("the disk of " + file_->path() + " does not answer");
  begun_now();
}

// Logs changes only: the file is read again and again.
void StateKeeper::go_without(const std::string& problem) {
  if (!readable_) metrics_.set_state_saved(false);
  if (problem == problem_) return;
  problem_ = problem;
  log::error("starting without the saved state", {{"file", file_->path()}, {"error", problem}});
}

void StateKeeper::begun_now() {
  patience_.disarm();
  stage_ = Stage::begun;
  std::exchange(done_, nullptr)();
  set_directory(directory_);  // which may have changed meanwhile
}

// The file is there after all, or another one is: probes that know nothing by themselves are told.
void StateKeeper::give_late() {
  for (const auto& [name, job] : scheduler_.jobs()) {
    if (job->is_memory_empty()) recall(*job);
  }
  if (!scheduler_.jobs().empty()) recalled_.clear();
}

void StateKeeper::recall(Job& job) const {
  const auto saved = recalled_.find(job.spec().name);
  if (saved == recalled_.end()) return;
  if (saved->second.kind == job.spec().kind->name && saved->second.target == job.target()) {
    job.restore(saved->second.memory);
  }
}

std::uint64_t StateKeeper::version() const {
  std::uint64_t version = 0;
  for (const auto& [name, job] : scheduler_.jobs()) version += job->memory_version();
  return version;
}

SavedState StateKeeper::current() const {
  SavedState state = recalled_;  // of jobs that are still to come
  for (const auto& [name, job] : scheduler_.jobs()) {
    JobMemory memory = job->memory();
    if (!memory.last_success && memory.facts.empty() && memory.notes.empty()) continue;
    state[name] = {std::string(job->spec().kind->name), job->target(), std::move(memory)};
  }
  return state;
}

void StateKeeper::save_if_due() {
  if (stage_ != Stage::begun || saving_ || !leadership_.leads()) return;
  const std::uint64_t now_version = version();
  const auto age = Clock::now() - saved_at_;
  const auto rest = file_ ? pace_.save : pace_.unsaved;
  if (age < rest || (now_version == saved_version_ && age < pace_.anyway)) return;
  saved_at_ = Clock::now();
  if (file_ && !readable_) {
    if (pending_ == 0) load();
    return;
  }
  saved_version_ = now_version;
  if (file_) {
    save();
  } else {
    for (const auto& [name, job] : scheduler_.jobs()) job->skip_saving();
  }
}

void StateKeeper::save() {
  saving_ = true;
  // The thread asks once more: this loop may hear late of a lease that has run out.
  submit(
      [file = file_, stop = stop_, &leadership = leadership_,
       text = serialize_state(current())](const net::StopFlag&) {
        return file->save(text, [&] { return !stop.stopped() && leadership.leads(); });
      },
      [this](const StateFile::Result& result) { report(result); });
}

// Logs changes only: a disk stays full for days.
void StateKeeper::report(const StateFile::Result& result) {
  saving_ = false;
  if (result.saved != StateFile::Saved::yes) saved_version_.reset();  // due again
  if (result.saved == StateFile::Saved::given_up) return;
  if (result.saved == StateFile::Saved::changed) {
    readable_ = false;
    if (finishing_) load();
    return;
  }
  const bool saved = result.saved == StateFile::Saved::yes;
  metrics_.set_state_saved(saved);
  // What cannot be saved is to be seen all the same.
  for (const auto& [name, job] : scheduler_.jobs()) job->mark_saved();
  if (result.problem == problem_) return;
  problem_ = result.problem;
  if (saved && problem_.empty()) {
    log::info("state is saved again", {{"file", file_ ? file_->path() : ""}});
  } else if (saved) {
    log::warn("state is saved", {{"problem", problem_}});
  } else {
    log::error("state is not saved", {{"error", problem_}});
  }
}

void StateKeeper::finish() {
  if (stage_ != Stage::begun || !file_) return;
  finishing_ = true;
  if (readable_) {
    save();
  } else if (pending_ == 0) {
    load();
  }
}

void StateKeeper::end() {
  stage_ = Stage::ended;
  saving_ = false;
  finishing_ = false;
  patience_.disarm();
  done_ = nullptr;
  recalled_.clear();
  stop_.stop();
  // The lock goes with the last who uses the file: here, or on the thread.
  file_.reset();
}

}  // namespace vitalsd
