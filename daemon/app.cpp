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
#include <unistd.h>

namespace vitalsd {
namespace {

using namespace std::chrono_literals;
using Clock = std::chrono::steady_clock;

constexpr auto kReadyAnyway = 15s;    // ready though some probes have not ended a first run
constexpr auto kSettled = 10s;        // after which starting is over
constexpr auto kSaveAtEnd = 2'500ms;  // half of the time there is

// A configuration may come from a terminal or a dead disk. Process 1 of a container is ended by
// nothing but itself. It is being read already, so that SIGHUP asks for nothing.
void end_while_loading() {
  std::signal(SIGHUP, SIG_IGN);
  if (getpid() != 1) return;
  for (const int signal : {SIGTERM, SIGINT}) {
    std::signal(signal, [](int number) { std::_Exit(128 + number); });
  }
}

}  // namespace

App::App(Options options)
    : options_(std::move(options)),
      services_(loop_, {}, options_.shard),
      gate_(1, 1),
      heartbeat_(services_.wheel),
      service_manager_(services_.wheel),
      scheduler_({loop_, services_.wheel, gate_, exposition_, board_, metrics_}),
      state_(loop_, services_.wheel, scheduler_, leadership_, metrics_, options_.shard),
      reloader_(options_.config_file, services_.environment, metrics_,
                [this](Loaded loaded) { install(std::move(loaded)); }),
      lifecycle_(loop_, services_.wheel,
                 {.tick = [this] { tick(); },
                  .reload = [this] { reload(); },
                  .stopping =
                      [this](std::string_view signal) {
                        log::info("vitalsd stops", {{"signal", std::string(signal)}});
                        service_manager_.stopping();
                      }},
                 owners()) {
  services_.wheel.on_lag = [this](Clock::duration lag) { metrics_.observe_loop_lag(lag); };
}

Exit App::run() {
  started_ = Clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  end_while_loading();
  Loaded loaded = load_configuration(options_.config_file, services_.environment);
  config::Problems& problems = loaded.document->problems();
  if (problems.has_errors()) {
    std::fputs(problems.text().c_str(), stderr);
    return Exit::config;
  }
  const config::Settings& settings = loaded.document->settings();
  log::configure(settings.log);
  log_warnings(problems);
  lifecycle_.begin();
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
                               {"probes_at_once", std::to_string(max_running(settings.limits))}});
  metrics_.set_reload(true);
  election_settings_ = settings.election;
  if (!election_settings_.lease.empty()) {
    services_.kubernetes.set_access({settings.kubernetes.kubeconfig, settings.kubernetes.context});
    metrics_.set_leader(false);
    election_ = std::make_unique<Election>(
        services_, election_settings_, leadership_,
        [this](bool leads) { leadership_changed(leads); }, options_.election_pace);
  }
  reloader_.set_in_force(loaded.document->text());
  install(std::move(loaded));
  if (election_) {
    start_serving();
  } else {
    begin_to_observe();
  }
  try {
    loop_.run();
  } catch (const std::exception& e) {
    log::error("vitalsd fails", {{"error", e.what()}});
    web_.reset();
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(Exit::failure));  // nothing is in a state to be unwound
  }
  services_.wind_down();
  if (!lifecycle_.idle() || services_.kubernetes.running() > 0 || services_.hanging() > 0 ||
      web_->checks_passwords()) {
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(Exit::ok));  // what hangs cannot be waited for
  }
  web_.reset();
  return Exit::ok;
}

// What takes time to end. The state is saved before the lease goes: who takes it reads the file.
std::vector<Lifecycle::Owner> App::owners() {
  return {{.stop = [this] { reloader_.stop(); }, .idle = [this] { return reloader_.idle(); }},
          {.stop = [this] { state_.finish(); },
           .idle = [this] { return state_.idle(); },
           .patience = kSaveAtEnd},
          // Runs of jobs that a reload has removed are in the gate until they have unwound.
          {.stop = [this] { scheduler_.stop(); },
           .idle = [this] { return scheduler_.running() == 0 && gate_.inside() == 0; }},
          {.stop =
               [this] {
                 if (election_) election_->resign();
               },
           .idle = [this] { return !election_ || election_->idle(); }}};
}

// From now on the page is answered.
void App::start_serving() {
  if (std::exchange(serves_, true)) return;
  web_->start();
  service_manager_.ready("Serves on " + config::Endpoint{listen_.host, web_->port()}.text());
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
    if (!leadership_.leads()) return true;
    return observes_ && (all_ran_ || Clock::now() - started_ > kReadyAnyway);
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
  gate_.set_limits(max_running(settings.limits),
                   static_cast<std::size_t>(settings.limits.per_endpoint));
  state_.set_directory(settings.state_directory);
  if (!(settings.web == web_settings_)) {
    web_settings_ = settings.web;
    log::warn("changes of web: take effect at the next start");
  }
  if (!(settings.election == election_settings_)) {
    election_settings_ = settings.election;
    log::warn("changes of leader_election: take effect at the next start");
  }
  if (state_.begun()) {
    apply(std::move(loaded.jobs));
  } else {
    waiting_ = std::move(loaded.jobs);
  }
}

// Facts are on the page from the first scrape on, so it is answered once the state has been read.
void App::begin_to_observe() {
  state_.begin([this] {
    if (waiting_) apply(*std::exchange(waiting_, std::nullopt));
    // Else it cannot be built, which the reloader tries again.
    if (!election_) scheduler_.on_all_ran([this] { all_ran_ = true; });
    start_serving();
  });
}

void App::apply(std::vector<JobSpec> jobs) {
  const Scheduler::Change change =
      scheduler_.apply(std::move(jobs), [this](Job& job) { state_.recall(job); });
  state_.forget();
  observes_ = leadership_.leads();
  log::info("configuration is in force", {{"added", std::to_string(change.added)},
                                          {"changed", std::to_string(change.changed)},
                                          {"unchanged", std::to_string(change.unchanged)},
                                          {"removed", std::to_string(change.removed)}});
}

void App::leadership_changed(bool leads) {
  metrics_.set_leader(leads);
  if (leads) {
    begin_to_observe();
    return;
  }
  state_.end();
  apply({});
  // What was in force is built again for the next time, whatever has become of the file.
  reloader_.install_again();
}

void App::reload() {
  service_manager_.reloading();
  reloader_.reload([this](bool, const std::string& outcome) { service_manager_.ready(outcome); });
}

void App::tick() {
  metrics_.set_running(gate_.inside());
  metrics_.set_hanging_threads(services_.hanging());
  reloader_.reload_if_changed();
  state_.save_if_due();
  if (!settled_ && Clock::now() - started_ > kSettled) {
    settled_ = true;
    give_back_startup_pages();
  }
}

}  // namespace vitalsd
