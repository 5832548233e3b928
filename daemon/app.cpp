#include "daemon/app.hpp"

#include "daemon/limits.hpp"
#include "daemon/log.hpp"
#include "daemon/version.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <filesystem>
#include <system_error>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kTick = 1s;
constexpr auto kSaveFacts = 10s;    // at most this often while facts change
constexpr auto kSaveAnyway = 300s;  // times of success alone are not worth more
constexpr auto kReadyAnyway = 15s;  // ready though some probes have not ended a first run
constexpr auto kSettled = 10s;      // after which starting is over
constexpr auto kShutdown = 5s;      // for runs to end when we stop
}  // namespace

App::App(Options options)
    : options_(std::move(options)),
      services_(loop_, {}, options_.shard),
      gate_(1, 1),
      heartbeat_(services_.wheel),
      service_manager_(services_.wheel),
      scheduler_({loop_, services_.wheel, gate_, exposition_, board_, metrics_}),
      reloader_(options_.config_file, services_.environment, metrics_,
                [this](Loaded loaded) { install(std::move(loaded)); }),
      signals_(loop_, SIGTERM, SIGINT, SIGHUP),
      tick_timer_([this] { tick(); }),
      end_timer_([this] { finish_when_idle(); }) {
  services_.wheel.on_lag = [this](Clock::duration lag) { metrics_.observe_loop_lag(lag); };
}

Exit App::run() {
  started_ = Clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  Loaded loaded = load_configuration(options_.config_file, services_.environment);
  config::Problems& problems = loaded.document->problems();
  if (problems.has_errors()) {
    std::fputs(problems.text().c_str(), stderr);
    return Exit::config;
  }
  const config::Settings& settings = loaded.document->settings();
  log::configure(settings.log);
  log_warnings(problems);
  web_settings_ = settings.web;
  listen_ = options_.listen.value_or(settings.web.listen);
  if (!serve(settings.web)) return Exit::bind;

  const std::size_t descriptors = raise_descriptor_limit();
  log::info("vitalsd starts", {{"version", std::string(kVersion)},
                               {"revision", std::string(kRevision)},
                               {"config", options_.config_file},
                               {"listen", config::Endpoint{listen_.host, web_->port()}.text()},
                               {"probes", std::to_string(loaded.jobs.size())},
                               {"open_files", std::to_string(descriptors)},
                               {"probes_at_once", std::to_string(most_running(settings.limits))}});
  if (!settings.state_directory.empty()) {
    state_path_ = state_file_path(settings.state_directory);
    load_saved_state();
  }
  metrics_.set_reload(true);
  election_settings_ = settings.election;
  if (!election_settings_.lease.empty()) {
    services_.kubernetes.set_access({settings.kubernetes.kubeconfig, settings.kubernetes.context});
    metrics_.set_leader(false);
    election_ = std::make_unique<Election>(services_, election_settings_, leadership_,
                                           [this](bool leads) { leadership_changed(leads); });
  }
  install(std::move(loaded));
  if (!election_) scheduler_.on_all_ran([this] { all_ran_ = true; });
  web_->start();  // facts are on the page from the first scrape on
  await_signal();
  service_manager_.ready("Serves on " + config::Endpoint{listen_.host, web_->port()}.text());
  services_.wheel.arm_after(tick_timer_, kTick);
  try {
    loop_.run();
  } catch (const std::exception& e) {
    log::error("vitalsd fails", {{"error", e.what()}});
    web_.reset();
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(Exit::failure));  // nothing is in a state to be unwound
  }
  web_.reset();
  services_.wind_down();
  if (scheduler_.running() > 0 || services_.kubernetes.running() > 0 ||
      services_.offload.hanging() > 0) {
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(Exit::ok));  // what hangs cannot be waited for
  }
  return Exit::ok;
}

void App::load_saved_state() {
  auto state = load_state(state_path_);
  if (state) {
    recalled_ = std::move(*state);
  } else {
    log::error("starting without the saved state",
               {{"file", state_path_}, {"error", state.error()}});
  }
}

bool App::serve(const config::WebSettings& web) {
  WebOptions options;
  options.address = listen_.host;
  options.port = listen_.port;
  options.certificate = web.certificate;
  options.key = web.key;
  options.client_ca = web.client_ca;
  options.basic_auth = web.basic_auth;
  options.version = kVersion;
  options.exposition = &exposition_;
  options.self_metrics = [this] { return metrics_.collect(); };
  options.probes = [this] { return board_.views(); };
  options.healthy = [this] { return heartbeat_.fresh(); };
  options.ready = [this] {
    return all_ran_ || !leadership_.leads() || Clock::now() - started_ > kReadyAnyway;
  };
  options.leads = [this] { return leadership_.leads(); };
  if (web.reload) {
    options.reload = [this](WebOptions::ReloadDone done) {
      asio::post(loop_,
                 [this, done = std::move(done)]() mutable { reloader_.reload(std::move(done)); });
    };
  }
  options.on_request = [this](std::string_view route, int status) {
    metrics_.count_request(route, status);
  };
  options.on_scrape = [this](std::chrono::duration<double> took, std::size_t bytes) {
    metrics_.observe_scrape(took, bytes);
  };
  try {
    web_ = std::make_unique<HttpServer>(std::move(options));
    return true;
  } catch (const boost::system::system_error& e) {
    log::error("cannot serve HTTP", {{"listen", listen_.text()}, {"error", error_text(e.code())}});
  } catch (const std::exception& e) {
    log::error("cannot serve HTTP", {{"listen", listen_.text()}, {"error", e.what()}});
  }
  return false;
}

// Makes a configuration without errors the one in force.
void App::install(Loaded loaded) {
  const config::Settings& settings = loaded.document->settings();
  log::configure(settings.log);
  services_.resolver.set_servers(settings.dns_servers);
  services_.kubernetes.set_access({settings.kubernetes.kubeconfig, settings.kubernetes.context});
  gate_.set_limits(most_running(settings.limits),
                   static_cast<std::size_t>(settings.limits.per_endpoint));
  state_path_ = settings.state_directory.empty() ? "" : state_file_path(settings.state_directory);
  if (!(settings.web == web_settings_)) {
    web_settings_ = settings.web;
    log::warn("changes of web: take effect at the next start");
  }
  if (!(settings.election == election_settings_)) {
    election_settings_ = settings.election;
    log::warn("changes of leader_election: take effect at the next start");
  }
  if (leadership_.leads()) {
    apply(std::move(loaded.jobs));
  } else {
    waiting_ = std::move(loaded.jobs);
  }
}

void App::apply(std::vector<JobSpec> jobs) {
  const Scheduler::Change change =
      scheduler_.apply(std::move(jobs), [this](Job& job) { recall(job); });
  recalled_.clear();
  log::info("configuration is in force", {{"added", std::to_string(change.added)},
                                          {"changed", std::to_string(change.changed)},
                                          {"unchanged", std::to_string(change.unchanged)},
                                          {"removed", std::to_string(change.removed)}});
}

void App::leadership_changed(bool leads) {
  metrics_.set_leader(leads);
  if (!leads) {
    apply({});
  } else if (waiting_) {
    apply(*std::exchange(waiting_, std::nullopt));
  } else {
    // We led before, and have let go of all probes since.
    if (!state_path_.empty()) load_saved_state();
    reloader_.reload([](bool, const std::string&) {});
  }
}

// Gives a new job what an earlier process knew, if it is still about the same target.
void App::recall(Job& job) {
  const auto saved = recalled_.find(job.spec().name);
  if (saved == recalled_.end()) return;
  if (saved->second.kind == job.spec().kind->name && saved->second.target == job.target()) {
    job.restore(saved->second.memory);
  }
}

void App::await_signal() {
  signals_.async_wait([this](const boost::system::error_code& error, int signal) {
    if (error) return;
    if (signal == SIGHUP) {
      reload();
      await_signal();
    } else {
      shut_down(signal == SIGTERM ? "SIGTERM" : "SIGINT");
    }
  });
}

void App::reload() {
  service_manager_.reloading();
  reloader_.reload([this](bool, const std::string& outcome) { service_manager_.ready(outcome); });
}

void App::tick() {
  services_.wheel.arm_after(tick_timer_, kTick);
  metrics_.set_running(gate_.inside());
  metrics_.set_hanging_threads(services_.offload.hanging());
  reloader_.reload_if_changed();
  save_state_if_due();
  if (!settled_ && Clock::now() - started_ > kSettled) {
    settled_ = true;
    give_back_startup_pages();
  }
}

SavedState App::current_state() const {
  SavedState state;
  for (const auto& [name, job] : scheduler_.jobs()) {
    JobMemory memory = job->memory();
    if (!memory.last_success && memory.facts.empty() && memory.notes.empty()) continue;
    state[name] = {std::string(job->spec().kind->name), job->target(), std::move(memory)};
  }
  return state;
}

void App::save_state_if_due() {
  if (!leadership_.leads()) return;
  std::uint64_t version = 0;
  for (const auto& [name, job] : scheduler_.jobs()) version += job->memory_version();
  const auto age = Clock::now() - saved_at_;
  const auto rest = state_path_.empty() ? kTick : kSaveFacts;
  if (age < rest || (version == saved_version_ && age < kSaveAnyway)) return;
  saved_version_ = version;
  saved_at_ = Clock::now();
  if (state_path_.empty()) {
    for (const auto& [name, job] : scheduler_.jobs()) job->forgo_saving();
    return;
  }
  const auto write = [path = state_path_, text = serialize_state(current_state())](
                         const net::StopFlag&) { return save_state(path, text); };
  const auto run = [](net::Offload& offload, std::string path, auto work) -> asio::awaitable<void> {
    const std::string error = co_await offload.run(std::move(path), std::move(work));
    if (!error.empty()) log::error("state is not saved", {{"error", error}});
  };
  asio::co_spawn(loop_, run(services_.offload, state_path_, write),
                 [this](const std::exception_ptr& error) {
                   // A disk that hangs from last time: the next save says so again if it still
                   // does.
                   if (error)
                     log::error("state is not saved", {{"error", "an earlier write still hangs"}});
                   // What cannot be saved is to be seen all the same.
                   for (const auto& [name, job] : scheduler_.jobs()) job->saved();
                 });
}

void App::shut_down(std::string_view why) {
  log::info("vitalsd stops", {{"signal", std::string(why)}});
  service_manager_.stopping();
  tick_timer_.disarm();
  if (!state_path_.empty() && leadership_.leads()) {
    const std::string error = save_state(state_path_, serialize_state(current_state()));
    if (!error.empty()) log::error("state is not saved", {{"error", error}});
  }
  scheduler_.stop();
  if (election_) election_->resign();
  end_by_ = Clock::now() + kShutdown;
  finish_when_idle();
}

void App::finish_when_idle() {
  const bool idle = scheduler_.running() == 0 && (!election_ || election_->idle());
  if (idle || Clock::now() >= end_by_) {
    services_.wheel.stop();
    loop_.stop();
    return;
  }
  services_.wheel.arm_after(end_timer_, net::TimerWheel::kSlot);
}

}  // namespace vitalsd
