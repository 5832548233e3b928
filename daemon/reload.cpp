#include "daemon/reload.hpp"

#include "daemon/log.hpp"
#include "exporter/model/text_format.hpp"

#include <chrono>
#include <exception>
#include <functional>
#include <stdexcept>
#include <string>
#include <utility>

#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/system/system_error.hpp>

namespace vitalsd {

namespace {

using namespace std::chrono_literals;

constexpr auto kMaxLooking = 5s;
constexpr auto kMaxLoading = 60s;  // 10,000 probes take less than a second

Loaded build(std::unique_ptr<config::Document> document, const Environment& environment) {
  Loaded loaded;
  loaded.document = std::move(document);
  loaded.jobs = build_jobs(*loaded.document, environment, &loaded.routes);
  if (!loaded.document->problems().has_errors()) {
    loaded.preflight.emplace(*loaded.document, environment);
  }
  return loaded;
}

void log_problems(const config::Problems& problems) {
  for (const config::Problem& problem : problems.list()) {
    log::warn("configuration", {{"problem", problems.line(problem)}});
  }
}

asio::awaitable<void> log_preflight(Preflight preflight, const Environment& environment) {
  log_problems(co_await Preflight::run(std::move(preflight), environment));
}

}  // namespace

Loaded load_configuration(const std::string& file, const Environment& environment) {
  return build(config::Document::load(file), environment);
}

Loaded load_configuration(const std::string& file, std::string_view text,
                          const Environment& environment) {
  return build(std::make_unique<config::Document>(file, text), environment);
}

void log_warnings(Loaded& loaded, const Environment& environment) {
  log_problems(loaded.document->problems());
  asio::co_spawn(environment.loop, log_preflight(std::move(*loaded.preflight), environment),
                 asio::detached);
  loaded.preflight.reset();
}

Reloader::Reloader(std::string file, const Environment& environment, SelfMetrics& metrics,
                   std::function<void(Loaded)> install)
    : file_(std::move(file)),
      environment_(environment),
      metrics_(metrics),
      install_(std::move(install)),
      known_(file_ == config::kStandardInput ? config::FileVersion{} : config::version_of(file_)),
      limit_([this] { cancel_.emit(asio::cancellation_type::terminal); }),
      thread_(environment.loop, 1) {}

void Reloader::reload_if_changed() {
  if (is_busy_ || is_stopped_) return;
  if (file_ == config::kStandardInput) {
    start_next(false);
    return;
  }
  is_looking_ = true;
  submit(
      file_, kMaxLooking, [file = file_](const net::StopFlag&) { return config::version_of(file); },
      [this](const config::FileVersion& now) {
        look_error_.clear();
        // If the file is missing, an editor or a mount is replacing it.
        if (now == known_ || now == config::FileVersion{}) return;
        log::info("configuration file has changed", {{"file", file_}});
        reload([](bool, const std::string&) {});
      },
      &Reloader::fail_look);
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
  submit(
      "building probes", kMaxLoading,
      [file = file_, text = in_force_, &environment = environment_](const net::StopFlag&) {
        return load_configuration(file, text, environment);
      },
      [this](Loaded loaded) {
        if (is_stopped_) return;
        // The text had no errors when it was loaded, but files that it refers to may have been
        // removed since then.
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
  if (is_looking_) cancel_.emit(asio::cancellation_type::terminal);
  in_progress_.insert(in_progress_.end(), waiting_.begin(), waiting_.end());
  waiting_.clear();
  report(false, "vitalsd is stopping.\n");
}

void Reloader::start_reload() {
  in_progress_ = std::exchange(waiting_, {});
  struct Attempt {
    config::FileVersion version;  // read before the file, so that a later change is detected
    Loaded loaded;
    std::string error;
  };
  submit(
      file_, kMaxLoading,
      [file = file_, &environment = environment_](const net::StopFlag&) {
        Attempt attempt{.version = config::version_of(file), .loaded = {}, .error = {}};
        try {
          attempt.loaded = load_configuration(file, environment);
        } catch (const std::exception& e) {
          attempt.error = e.what();
        }
        return attempt;
      },
      [this](Attempt attempt) {
        known_ = attempt.version;
        if (is_stopped_) return;
        if (!attempt.error.empty()) throw std::runtime_error(attempt.error);
        finish(std::move(attempt.loaded));
      },
      &Reloader::fail);
}

// Runs `read` on the thread and then `then` with its result on the loop. Calls `on_error` if either
// throws, or if `read` takes longer than `limit`. `resource` is the name of the file or directory
// on which `read` may hang.
template <class Read, class Then>
void Reloader::submit(const std::string& resource, std::chrono::seconds limit, Read read, Then then,
                      OnError on_error) {
  is_busy_ = true;
  environment_.wheel.arm_after(limit_, limit);
  const auto run = [](Reloader& self, std::string name, Read task,
                      Then after) -> asio::awaitable<void> {
    auto result = co_await self.thread_.run(std::move(name), std::move(task));
    self.limit_.disarm();
    after(std::move(result));
  };
  auto done = [this, limit, on_error](const std::exception_ptr& error) {
    limit_.disarm();
    is_busy_ = is_looking_ = false;
    if (is_stopped_) return;
    try {
      if (error) std::rethrow_exception(error);
    } catch (const boost::system::system_error&) {  // the timer cancelled the call
      (this->*on_error)("no result within " + std::to_string(limit.count()) +
                        " s: does the file system of " + file_ + " respond?");
    } catch (const std::exception& e) {
      (this->*on_error)(e.what());
    }
    start_next(error && on_error == &Reloader::fail_install_again);
  };
  asio::co_spawn(environment_.loop, run(*this, resource, std::move(read), std::move(then)),
                 asio::bind_cancellation_slot(cancel_.slot(), std::move(done)));
}

// After a failure, install_again() is retried at the next check of the file.
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
    log_warnings(loaded, environment_);
    in_force_ = loaded.document->text();
    must_install_again_ = false;
    install_(std::move(loaded));
    metrics_.set_reload(true);
    on_reloaded("");
    report(true, "Configuration reloaded.\n");
    return;
  }
  for (const config::Problem& problem : problems.list()) {
    log::error("configuration is invalid, keeping the previous configuration",
               {{"problem", problems.line(problem)}});
  }
  metrics_.set_reload(false);
  const std::string text = shown_lines(problems.text(), std::string::npos);
  on_reloaded("the configuration is invalid, keeping the previous configuration: " +
              text.substr(0, text.find_last_not_of('\n') + 1));
  report(false, "Configuration is invalid, keeping the previous configuration:\n" + text);
}

void Reloader::fail(const std::string& why) {
  log::error("cannot load the configuration, keeping the previous configuration", {{"error", why}});
  metrics_.set_reload(false);
  on_reloaded("cannot load the configuration, keeping the previous configuration: " + why);
  report(false, "Cannot load the configuration, keeping the previous configuration: " + why + '\n');
}

// This function and the next one log changes only, because both actions are retried every second.
void Reloader::fail_look(const std::string& why) {
  if (why == look_error_) return;
  look_error_ = why;
  log::error("cannot check the configuration file for changes, retrying", {{"error", why}});
}

void Reloader::fail_install_again(const std::string& why) {
  if (why == install_error_) return;
  install_error_ = why;
  log::error("cannot install the current configuration again, retrying", {{"error", why}});
}

void Reloader::report(bool succeeded, const std::string& text) {
  for (const Done& done : std::exchange(in_progress_, {})) done(succeeded, text);
}

}  // namespace vitalsd
