#include "daemon/reload.hpp"

#include "daemon/build.hpp"
#include "daemon/log.hpp"

#include <exception>
#include <stdexcept>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <sys/stat.h>

namespace vitalsd {

namespace {

Loaded build(std::unique_ptr<config::Document> document, const Environment& environment) {
  Loaded loaded;
  loaded.document = std::move(document);
  loaded.jobs = build_jobs(*loaded.document, environment);
  return loaded;
}

}  // namespace

Loaded load_configuration(const std::string& file, const Environment& environment) {
  return build(config::Document::load(file), environment);
}

Loaded load_configuration(const std::string& file, std::string_view text,
                          const Environment& environment) {
  return build(std::make_unique<config::Document>(file, text), environment);
}

void log_warnings(const config::Problems& problems) {
  for (const config::Problem& problem : problems.list()) {
    log::warn("configuration", {{"problem", problems.line(problem)}});
  }
}

Reloader::Reloader(std::string file, const Environment& environment, SelfMetrics& metrics,
                   std::function<void(Loaded)> install)
    : file_(std::move(file)),
      environment_(environment),
      metrics_(metrics),
      install_(std::move(install)),
      seen_(look()),
      thread_(environment.loop, 1) {}

Reloader::FileState Reloader::look() const {
  struct stat status{};
  if (file_ == config::kStandardInput) return {};
  if (stat(file_.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino,
          status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec, status.st_size};
}

void Reloader::reload_if_changed() {
  if (busy_) return;
  const FileState now = look();
  // Gone is no change: an editor, or a mount, is replacing it.
  if (now == seen_ || now == FileState{}) {
    if (again_) install_again();
    return;
  }
  log::info("configuration file has changed", {{"file", file_}});
  reload([](bool, const std::string&) {});
}

void Reloader::reload(Done done) {
  waiting_.push_back(std::move(done));
  if (stopped_ || file_ == config::kStandardInput) {
    served_ = std::exchange(waiting_, {});
    answer(false, stopped_ ? "vitalsd stops.\n" : "Standard input cannot be read again.\n");
  } else if (!busy_) {
    work();
  }
}

void Reloader::install_again() {
  again_ = true;
  if (stopped_ || busy_) return;
  submit([file = file_, text = in_force_, &environment = environment_](
             const net::StopFlag&) { return load_configuration(file, text, environment); },
         [this](Loaded loaded) {
           if (stopped_) return;
           // It was without a fault once, but what it refers to may be gone.
           const config::Problems& problems = loaded.document->problems();
           if (problems.has_errors()) throw std::runtime_error(problems.text());
           again_ = false;
           trouble_.clear();
           install_(std::move(loaded));
         },
         &Reloader::fail_again);
}

void Reloader::stop() {
  stopped_ = true;
  served_.insert(served_.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  answer(false, "vitalsd stops.\n");
}

void Reloader::work() {
  served_ = std::exchange(waiting_, {});
  seen_ = look();  // before reading: a change in between is found next time
  submit([file = file_, &environment = environment_](
             const net::StopFlag&) { return load_configuration(file, environment); },
         [this](Loaded loaded) {
           if (!stopped_) finish(std::move(loaded));
         },
         &Reloader::fail);
}

// Does `read` on the thread and then `then` with its result here, or `fails` with what either
// throws.
template <class Read, class Then>
void Reloader::submit(Read read, Then then, void (Reloader::*fails)(const std::string&)) {
  busy_ = true;
  const auto run = [](Reloader& self, Read task, Then after) -> asio::awaitable<void> {
    after(co_await self.thread_.run(self.file_, std::move(task)));
  };
  asio::co_spawn(environment_.loop, run(*this, std::move(read), std::move(then)),
                 [this, fails](const std::exception_ptr& error) {
                   busy_ = false;
                   try {
                     if (error) std::rethrow_exception(error);
                   } catch (const std::exception& e) {
                     (this->*fails)(e.what());
                   }
                   next(error != nullptr);
                 });
}

// What cannot be installed again now is tried at the next tick.
void Reloader::next(bool failed) {
  if (stopped_ || busy_) return;
  if (!waiting_.empty()) {
    work();
  } else if (again_ && !failed) {
    install_again();
  }
}

void Reloader::finish(Loaded loaded) {
  const config::Problems& problems = loaded.document->problems();
  if (!problems.has_errors()) {
    log_warnings(problems);
    in_force_ = loaded.document->text();
    again_ = false;
    install_(std::move(loaded));
    metrics_.set_reload(true);
    answer(true, "Configuration reloaded.\n");
    return;
  }
  for (const config::Problem& problem : problems.list()) {
    log::error("configuration is not valid, the old one stays",
               {{"problem", problems.line(problem)}});
  }
  metrics_.set_reload(false);
  answer(false, "Configuration is not valid, the old one stays:\n" + problems.text());
}

void Reloader::fail(const std::string& why) {
  log::error("configuration cannot be loaded, the old one stays", {{"error", why}});
  metrics_.set_reload(false);
  answer(false, "Configuration cannot be loaded, the old one stays: " + why + '\n');
}

// Logs changes only: it is tried again and again.
void Reloader::fail_again(const std::string& why) {
  if (why == trouble_) return;
  trouble_ = why;
  log::error("the configuration in force cannot be installed again yet", {{"error", why}});
}

void Reloader::answer(bool worked, const std::string& text) {
  for (const Done& done : std::exchange(served_, {})) done(worked, text);
}

}  // namespace vitalsd
