#include "daemon/reload.hpp"

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
  loaded.jobs = build_jobs(*loaded.document, environment, &loaded.routes);
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
      known_(file_state()),
      thread_(environment.loop, 1) {}

Reloader::FileState Reloader::file_state() const {
  struct stat status{};
  if (file_ == config::kStandardInput) return {};
  if (stat(file_.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino,
          status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec, status.st_size};
}

void Reloader::reload_if_changed() {
  if (is_busy_) return;
  const FileState now = file_state();
  // A missing file is being replaced by an editor or a mount.
  if (now == known_ || now == FileState{}) {
    if (must_install_again_) install_again();
    return;
  }
  log::info("configuration file has changed", {{"file", file_}});
  reload([](bool, const std::string&) {});
}

void Reloader::reload(Done done) {
  waiting_.push_back(std::move(done));
  if (is_stopped_ || file_ == config::kStandardInput) {
    in_progress_ = std::exchange(waiting_, {});
    report(false, is_stopped_ ? "vitalsd is stopping.\n"
                              : "Cannot reload: the configuration was read from standard input.\n");
  } else if (!is_busy_) {
    start_reload();
  }
}

void Reloader::install_again() {
  must_install_again_ = true;
  if (is_stopped_ || is_busy_) return;
  submit([file = file_, text = in_force_, &environment = environment_](
             const net::StopFlag&) { return load_configuration(file, text, environment); },
         [this](Loaded loaded) {
           if (is_stopped_) return;
           // It had no errors earlier, but files that it refers to may have been removed.
           const config::Problems& problems = loaded.document->problems();
           if (problems.has_errors()) throw std::runtime_error(problems.text());
           must_install_again_ = false;
           install_error_.clear();
           install_(std::move(loaded));
         },
         &Reloader::fail_install_again);
}

void Reloader::stop() {
  is_stopped_ = true;
  in_progress_.insert(in_progress_.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  report(false, "vitalsd is stopping.\n");
}

void Reloader::start_reload() {
  in_progress_ = std::exchange(waiting_, {});
  known_ = file_state();  // before reading, so that the next call detects a change during it
  submit([file = file_, &environment = environment_](
             const net::StopFlag&) { return load_configuration(file, environment); },
         [this](Loaded loaded) {
           if (!is_stopped_) finish(std::move(loaded));
         },
         &Reloader::fail);
}

// Runs `read` on the thread and then `then` with its result on the loop. Calls `on_error` if either
// throws.
template <class Read, class Then>
void Reloader::submit(Read read, Then then, void (Reloader::*on_error)(const std::string&)) {
  is_busy_ = true;
  const auto run = [](Reloader& self, Read task, Then after) -> asio::awaitable<void> {
    after(co_await self.thread_.run(self.file_, std::move(task)));
  };
  asio::co_spawn(environment_.loop, run(*this, std::move(read), std::move(then)),
                 [this, on_error](const std::exception_ptr& error) {
                   is_busy_ = false;
                   try {
                     if (error) std::rethrow_exception(error);
                   } catch (const std::exception& e) {
                     (this->*on_error)(e.what());
                   }
                   start_next(error != nullptr);
                 });
}

// After a failure, install_again() is retried at the next tick.
void Reloader::start_next(bool failed) {
  if (is_stopped_ || is_busy_) return;
  if (!waiting_.empty()) {
    start_reload();
  } else if (must_install_again_ && !failed) {
    install_again();
  }
}

void Reloader::finish(Loaded loaded) {
  const config::Problems& problems = loaded.document->problems();
  if (!problems.has_errors()) {
    log_warnings(problems);
    in_force_ = loaded.document->text();
    must_install_again_ = false;
    install_(std::move(loaded));
    metrics_.set_reload(true);
    report(true, "Configuration reloaded.\n");
    return;
  }
  for (const config::Problem& problem : problems.list()) {
    log::error("configuration is invalid, the previous one stays in force",
               {{"problem", problems.line(problem)}});
  }
  metrics_.set_reload(false);
  report(false, "Configuration is invalid, the previous one stays in force:\n" + problems.text());
}

void Reloader::fail(const std::string& why) {
  log::error("cannot load the configuration, the previous one stays in force", {{"error", why}});
  metrics_.set_reload(false);
  report(false, "Cannot load the configuration, the previous one stays in force: " + why + '\n');
}

// Logs changes only, because it is retried every second.
void Reloader::fail_install_again(const std::string& why) {
  if (why == install_error_) return;
  install_error_ = why;
  log::error("cannot install the configuration in force again, retrying", {{"error", why}});
}

void Reloader::report(bool succeeded, const std::string& text) {
  for (const Done& done : std::exchange(in_progress_, {})) done(succeeded, text);
}

}  // namespace vitalsd
