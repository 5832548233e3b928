#include "daemon/reload.hpp"

#include "daemon/build.hpp"
#include "daemon/log.hpp"
#include "probes/net/offload.hpp"

#include <exception>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <sys/stat.h>

namespace vitalsd {

Loaded load_configuration(const std::string& file, const Environment& environment) {
  Loaded loaded;
  loaded.document = config::Document::load(file);
  loaded.jobs = build_jobs(*loaded.document, environment);
  return loaded;
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
      seen_(look()) {}

Reloader::FileState Reloader::look() const {
  struct stat status{};
  if (stat(file_.c_str(), &status) != 0) return {};
  return {status.st_dev, status.st_ino,
          status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec, status.st_size};
}

void Reloader::reload_if_changed() {
  const FileState now = look();
  // Gone is no change: an editor, or a mount, is replacing it.
  if (now == seen_ || now == FileState{} || busy_) return;
  log::info("configuration file has changed", {{"file", file_}});
  reload([](bool, const std::string&) {});
}

void Reloader::reload(std::function<void(bool, std::string)> done) {
  waiting_.push_back(std::move(done));
  if (busy_) return;
  busy_ = true;
  asio::co_spawn(environment_.loop, work(), [this](const std::exception_ptr& error) {
    busy_ = false;
    if (error) std::rethrow_exception(error);
    if (!waiting_.empty()) {
      auto next = std::move(waiting_.back());
      waiting_.pop_back();
      reload(std::move(next));
    }
  });
}

asio::awaitable<void> Reloader::work() {
  served_ = std::exchange(waiting_, {});
  seen_ = look();  // before reading: a change in between is found next time
  const auto read = [file = file_, &environment = environment_](const net::StopFlag&) {
    return load_configuration(file, environment);
  };
  finish(co_await environment_.offload.run(file_, read));
}

void Reloader::finish(Loaded loaded) {
  const config::Problems& problems = loaded.document->problems();
  const bool good = !problems.has_errors();
  std::string text;
  if (good) {
    log_warnings(problems);
    install_(std::move(loaded));
    text = "Configuration reloaded.\n";
  } else {
    for (const config::Problem& problem : problems.list()) {
      log::error("configuration is not valid, the old one stays",
                 {{"problem", problems.line(problem)}});
    }
    text = "Configuration is not valid, the old one stays:\n" + problems.text();
  }
  metrics_.set_reload(good);
  for (const auto& done : std::exchange(served_, {})) done(good, text);
}

}  // namespace vitalsd
