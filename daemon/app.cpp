#include "daemon/app.hpp"

#include "daemon/framework_metrics.hpp"
#include "daemon/limits.hpp"
#include "daemon/log.hpp"
#include "daemon/output.hpp"
#include "daemon/version.hpp"
#include "exporter/model/text_format.hpp"

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

// After this time the process is ready even if some first runs have not ended.
constexpr auto kMaxUnready = 15s;
constexpr auto kStartup = 10s;        // then memory pages that only startup used are released
constexpr auto kMaxSaving = 2'500ms;  // at shutdown: half of Lifecycle::kMaxShutdown

// Loading the configuration may block, on a terminal or a hanging disk. The kernel does not apply
// the default action of signals to process 1 of a container, so process 1 needs a handler.
// SIGHUP is ignored, because the process is already reading the configuration.
void handle_signals_while_loading() {
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
                        log::info("received a signal, shutting down",
                                  {{"signal", std::string(signal)}});
                        service_manager_.stopping();
                      }},
                 owners()) {
  for (const MetricInfo* metric : framework::kAll) {
    services_.foreign.declare(metric->name, metric->type);
  }
  // Families with a type_name need no declaration, because their names are reserved.
  for (const Exposition::Extra& extra : metrics_.collect({})) {
    if (extra.type_name.empty()) services_.foreign.declare(extra.name, extra.type);
  }
  const auto notice = [this](const std::string& about) {
    return [this, about](const std::string& problem) {
      board_.set_notices(about,
                         problem.empty() ? std::vector<std::string>() : std::vector{problem});
    };
  };
  state_.on_problem = notice("state");
  state_.on_read = notice("saved state");
  reloader_.on_reloaded = notice("reload");
  services_.wheel.on_lag = [this](Clock::duration lag) { metrics_.observe_loop_lag(lag); };
}

Exit App::run() {
  started_ = Clock::now();
  std::signal(SIGPIPE, SIG_IGN);
  handle_signals_while_loading();
  Loaded loaded = load_configuration(options_.config_file, services_.environment);
  config::Problems& problems = loaded.document->problems();
  if (problems.has_errors()) {
    print_problems(problems);
    return Exit::config;
  }
  const config::Settings& settings = loaded.document->settings();
  log::configure(settings.log);
  log_warnings(loaded, services_.environment);
  lifecycle_.start();
  web_settings_ = settings.web;
  listen_ = options_.listen.value_or(settings.web.listen);
  if (!serve(settings.web)) return Exit::bind;

  const std::size_t descriptors = raise_descriptor_limit();
  log::info("starting vitalsd",
            {{"version", std::string(kVersion)},
             {"revision", std::string(kRevision)},
             {"config", options_.config_file},
             {"listen", config::Endpoint{listen_.host, web_->port()}.text()},
             {"probes", std::to_string(loaded.jobs.size())},
             {"open_files", std::to_string(descriptors)},
             {"probes_at_once", std::to_string(probe_descriptors(settings.limits).running)}});
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
    start_observing();
  }
  try {
    loop_.run();
  } catch (const std::exception& e) {
    log::error("exiting because of an internal error", {{"error", e.what()}});
    web_.reset();
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(Exit::failure));  // the state may be inconsistent: no destructors
  }
  services_.wind_down();
  if (!lifecycle_.idle() || services_.kubernetes.running() > 0 || services_.hanging() > 0 ||
      reloader_.hanging() > 0 || web_->checks_passwords()) {
    std::fflush(nullptr);
    std::_Exit(static_cast<int>(Exit::ok));  // no destructors: they would wait for hanging threads
  }
  web_.reset();
  return Exit::ok;
}

// The owners of asynchronous work, in the order in which they are stopped. The state is saved
// before the Lease is released, because the next leader reads the file.
std::vector<Lifecycle::Owner> App::owners() {
  return {{.stop = [this] { reloader_.stop(); }, .idle = [this] { return reloader_.idle(); }},
          {.stop = [this] { state_.finish(); },
           .idle = [this] { return state_.idle(); },
           .max_wait = kMaxSaving},
          // Cancelled runs of jobs that a reload removed keep their slots until they have ended.
          {.stop = [this] { scheduler_.stop(); },
           .idle = [this] { return scheduler_.running() == 0 && gate_.inside() == 0; }},
          {.stop =
               [this] {
                 if (election_) election_->resign();
               },
           .idle = [this] { return !election_ || election_->idle(); }}};
}

// Starts to answer requests. The listener is already open.
void App::start_serving() {
  if (std::exchange(is_serving_, true)) return;
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
  options.self_metrics = [this] { return metrics_.collect(exposition_.series()); };
  options.probes = [this] { return board_.views(); };
  options.probe = [this](std::string_view name) { return board_.view(name); };
  options.why_absent = [this](std::string_view name) { return board_.why_absent(name); };
  options.events = [this](std::string_view name) { return board_.events(name); };
  options.dropped_events = [this](std::string_view name) { return board_.dropped_events(name); };
  options.notices = [this] { return board_.notices(); };
  options.healthy = [this] { return heartbeat_.is_recent(); };
  options.ready = [this] {
    if (!leadership_.leads()) return true;
    return is_observing_ && (all_ran_ || Clock::now() - started_ > kMaxUnready);
  };
  options.leads = [this] { return leadership_.leads(); };
  if (web.reload) {
    options.reload = [this](WebOptions::ReloadDone done) {
      asio::post(loop_,
                 [this, done = std::move(done)]() mutable { reloader_.reload(std::move(done)); });
    };
  }
  options.push = [this](WebPush push, WebOptions::PushDone done) {
    asio::post(loop_, [this, push = std::move(push), done = std::move(done)]() mutable {
      receive(std::move(push), std::move(done));
    });
  };
  options.on_request = [this](std::string_view route, int status) {
    metrics_.count_request(route, status);
  };
  options.on_scrape = [this](std::string_view route, std::chrono::duration<double> took,
                             std::size_t bytes) { metrics_.observe_scrape(route, took, bytes); };
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

// Applies a configuration without errors.
void App::install(Loaded loaded) {
  const config::Settings& settings = loaded.document->settings();
  log::configure(settings.log);
  services_.resolver.set_servers(settings.dns_servers);
  services_.kubernetes.set_access({settings.kubernetes.kubeconfig, settings.kubernetes.context});
  const ProbeDescriptors descriptors = probe_descriptors(settings.limits);
  gate_.set_limits(descriptors.running, static_cast<std::size_t>(settings.limits.per_endpoint));
  services_.kept.set_max(descriptors.kept);
  exposition_.set_series_limit(static_cast<std::size_t>(settings.limits.series));
  state_.set_directory(settings.state_directory);
  web_->set_routes(to_web(std::move(loaded.routes)));
  board_.set_absent(absent_probes(settings.probes, loaded.jobs));
  show_pending("web", !(settings.web == web_settings_));
  show_pending("leader_election", !(settings.election == election_settings_));
  const config::Problems& problems = loaded.document->problems();
  std::vector<std::string> warnings;
  for (const config::Problem& problem : problems.list()) warnings.push_back(problems.line(problem));
  board_.set_notices("configuration", std::move(warnings));
  if (state_.has_started()) {
    apply(std::move(loaded.jobs));
  } else {
    pending_jobs_ = std::move(loaded.jobs);
  }
}

// Shows or removes the notice that changes of a section take effect after a restart. Logs when it
// appears.
void App::show_pending(const std::string& section, bool is_pending) {
  const bool was_pending = pending_sections_.contains(section);
  if (is_pending == was_pending) return;
  if (!is_pending) {
    pending_sections_.erase(section);
    board_.set_notices(section, {});
    return;
  }
  pending_sections_.insert(section);
  board_.set_notices(section, {"changes take effect after a restart"});
  log::warn("changes of the section " + section + " take effect after a restart");
}

// Serving starts after the state has been read, so that the first scrape contains the facts.
void App::start_observing() {
  state_.start([this] {
    if (pending_jobs_) apply(*std::exchange(pending_jobs_, std::nullopt));
    // If there are no jobs, building them has failed, and the reloader retries it.
    if (!election_) scheduler_.on_all_ran([this] { all_ran_ = true; });
    start_serving();
  });
}

void App::apply(std::vector<JobSpec> jobs) {
  const Scheduler::Change change =
      scheduler_.apply(std::move(jobs), [this](Job& job) { state_.restore(job); });
  state_.discard_restored();
  is_observing_ = leadership_.leads();
  log::info("configuration loaded", {{"added", std::to_string(change.added)},
                                     {"changed", std::to_string(change.changed)},
                                     {"unchanged", std::to_string(change.unchanged)},
                                     {"removed", std::to_string(change.removed)}});
}

std::vector<WebRoute> App::to_web(std::vector<ProbeRoute> routes) {
  std::vector<WebRoute> out;
  for (ProbeRoute& entry : routes) {
    WebRoute& route = out.emplace_back();
    route.path = std::move(entry.route.path);
    route.probe = std::move(entry.probe);
    route.max_body = entry.route.max_body;
    route.methods = std::move(entry.route.methods);
    if (!entry.route.token) continue;
    route.token = [this, token = std::move(entry.route.token)](WebRoute::TokenDone done) {
      asio::post(loop_, [this, token, done = std::move(done)]() mutable {
        read_token(token, std::move(done));
      });
    };
  }
  return out;
}

void App::read_token(config::Secret token, WebRoute::TokenDone done) {
  asio::co_spawn(loop_, services_.files.read(std::move(token)),
                 [done = std::move(done)](const std::exception_ptr& error, std::string text) {
                   try {
                     if (error) std::rethrow_exception(error);
                   } catch (const std::exception& e) {
                     done(false, e.what());
                     return;
                   }
                   done(true, std::move(text));
                 });
}

// Passes a request to its probe, which usually answers when the state has been saved.
void App::receive(WebPush push, WebOptions::PushDone done) {
  const auto job = scheduler_.jobs().find(push.probe);
  Receiver* receiver = job == scheduler_.jobs().end() ? nullptr : job->second->receiver();
  if (receiver == nullptr || lifecycle_.stopping()) {
    done(503, "This process does not run the probe at the moment: retry.\n");
    return;
  }
  if (job->second->waits_for_state()) {
    done(503, "The saved state has not been read yet: retry.\n");
    return;
  }
  std::string probe = push.probe;
  std::string path = push.route + push.path;
  receiver->receive(
      {.method = std::move(push.method),
       .route = std::move(push.route),
       .path = std::move(push.path),
       .query = std::move(push.query),
       .content_type = std::move(push.content_type),
       .content_encoding = std::move(push.content_encoding),
       .body = std::move(push.body)},
      [this, probe = std::move(probe), path = std::move(path),
       done = std::move(done)](PushAnswer answer) {
        log_refusal(probe, path, answer);
        done(answer.status, std::move(answer.text));
      },
      [this] { state_.save_soon(); });
}

// A client such as curl ignores the response. Logs a refusal of a path when it begins and when its
// reason changes.
void App::log_refusal(const std::string& probe, const std::string& path, const PushAnswer& answer) {
  constexpr int kFirstError = 400;
  constexpr std::size_t kMaxPath = 256;
  constexpr std::size_t kMaxError = 500;
  constexpr std::size_t kMaxRefusals = 1'000;
  std::string shown = shown_text(path, kMaxPath);
  if (answer.status < kFirstError) {
    refusals_.erase(shown);
    return;
  }
  if (refusals_.size() >= kMaxRefusals) refusals_.clear();
  std::string& last = refusals_[shown];
  if (last == answer.text) return;
  last = answer.text;
  log::warn("request to a probe refused",
            {{"probe", probe},
             {"path", std::move(shown)},
             {"status", std::to_string(answer.status)},
             {"error", shown_text(answer.text.substr(0, answer.text.find('\n')), kMaxError)}});
}

void App::leadership_changed(bool leads) {
  metrics_.set_leader(leads);
  if (leads) {
    start_observing();
    return;
  }
  state_.stop();
  apply({});
  // Builds the current configuration again, for the next term as leader. The file may have become
  // invalid since then.
  reloader_.install_again();
}

void App::reload() {
  service_manager_.reloading();
  reloader_.reload([this](bool, const std::string& outcome) { service_manager_.ready(outcome); });
}

void App::tick() {
  metrics_.set_running(gate_.inside());
  metrics_.set_hanging_threads(services_.hanging() + reloader_.hanging());
  reloader_.reload_if_changed();
  state_.save_if_due();
  if (!is_startup_over_ && Clock::now() - started_ > kStartup) {
    is_startup_over_ = true;
    release_startup_pages();
  }
}

}  // namespace vitalsd
