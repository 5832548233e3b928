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
  if (directory == directory_) return;
  directory_ = directory;
  if (stage_ != Stage::begun) return;  // the next begin() reads it
  // What we know is newer than what is there; it is read only to be moved aside if it must be.
  open();
  if (file_)
    submit([file = file_](const net::StopFlag&) { return file->load(); },
           [this, file = file_](auto) { readable_ = readable_ || file == file_; });
}

void StateKeeper::open() {
  stop_.stop();
  stop_ = {};
  file_.reset();
  readable_ = false;
  if (!directory_.empty()) file_ = std::make_shared<StateFile>(directory_, shard_);
}

void StateKeeper::begin(std::function<void()> done) {
  recalled_.clear();
  open();
  if (!file_) {
    stage_ = Stage::begun;
    done();
    return;
  }
  stage_ = Stage::reading;
  done_ = std::move(done);
  wheel_.arm_after(patience_, pace_.patience);
  submit([file = file_](const net::StopFlag&) { return file->load(); },
         [this, file = file_](const std::expected<SavedState, std::string>& state) {
           if (file == file_) read(state);
         });
}

void StateKeeper::read(const std::expected<SavedState, std::string>& state) {
  readable_ = true;
  if (state) {
    recalled_ = *state;
  } else {
    log::error("starting without the saved state",
               {{"file", file_->path()}, {"error", state.error()}});
  }
  if (stage_ != Stage::reading) {
    give_late();
    return;
  }
  patience_.disarm();
  stage_ = Stage::begun;
  std::exchange(done_, nullptr)();
}

void StateKeeper::give_up_reading() {
  log::error(
      "starting without the saved state",
      {{"file", file_->path()}, {"error", "the disk does not answer; nothing is saved yet"}});
  metrics_.set_state_saved(false);
  stage_ = Stage::begun;
  std::exchange(done_, nullptr)();
}

// The disk has answered after all: probes that know nothing by themselves yet are told.
void StateKeeper::give_late() {
  log::info("the saved state is read", {{"file", file_->path()}});
  for (const auto& [name, job] : scheduler_.jobs()) {
    if (job->knows_nothing()) recall(*job);
  }
  recalled_.clear();
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
  SavedState state;
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
  saved_version_ = now_version;
  saved_at_ = Clock::now();
  if (!file_) {
    for (const auto& [name, job] : scheduler_.jobs()) job->forgo_saving();
  } else if (readable_) {
    save();
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
  if (result.saved == StateFile::Saved::given_up) return;
  const bool saved = result.saved == StateFile::Saved::yes;
  metrics_.set_state_saved(saved);
  // What cannot be saved is to be seen all the same.
  for (const auto& [name, job] : scheduler_.jobs()) job->saved();
  if (!saved) saved_version_ = 0;  // due again
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
  if (stage_ == Stage::begun && file_ && readable_) save();
}

void StateKeeper::end() {
  stage_ = Stage::ended;
  saving_ = false;
  patience_.disarm();
  done_ = nullptr;
  recalled_.clear();
  stop_.stop();
  // The lock goes with the last who uses the file: here, or on the thread.
  file_.reset();
}

}  // namespace vitalsd
