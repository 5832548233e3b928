// Owns the parts of the daemon and connects them: configuration, scheduler, exposition, web server,
// reload, leader election and shutdown. Runs on the main thread, which is the probe loop.
#pragma once

#include "config/secret.hpp"
#include "config/settings.hpp"
#include "daemon/board.hpp"
#include "daemon/election.hpp"
#include "daemon/gate.hpp"
#include "daemon/heartbeat.hpp"
#include "daemon/lifecycle.hpp"
#include "daemon/reload.hpp"
#include "daemon/scheduler.hpp"
#include "daemon/self_metrics.hpp"
#include "daemon/service_manager.hpp"
#include "daemon/state_keeper.hpp"
#include "exporter/model/exposition.hpp"
#include "exporter/web/http_server.hpp"
#include "probes/receiver.hpp"
#include "probes/services.hpp"

#include <atomic>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace vitalsd {

/// Exit codes of the daemon.
enum class Exit : int { ok = 0, failure = 1, config = 2, bind = 3 };

class App {
 public:
  struct Options {
    std::string config_file;
    std::optional<config::Endpoint> listen;  ///< overrides web.listen
    Shard shard;                             ///< the share of the work that this process does
    ElectionPace election_pace{};
  };

  explicit App(Options options);

  /// Reads the configuration, runs until SIGTERM or SIGINT, and returns the exit code.
  Exit run();

 private:
  bool serve(const config::WebSettings& web);
  void install(Loaded loaded);
  void show_pending(const std::string& section, bool is_pending);
  void start_serving();
  void start_observing();
  void apply(std::vector<JobSpec> jobs);
  std::vector<WebRoute> to_web(std::vector<ProbeRoute> routes);
  void read_token(config::Secret token, WebRoute::TokenDone done);
  void receive(WebPush push, WebOptions::PushDone done);
  void log_refusal(const std::string& probe, const std::string& path, const PushAnswer& answer);
  void leadership_changed(bool leads);
  void reload();
  void tick();
  [[nodiscard]] std::vector<Lifecycle::Owner> owners();

  Options options_;
  asio::io_context loop_{1};
  Exposition exposition_;
  Board board_;
  SelfMetrics metrics_;
  // By path, the text of the last refusal. Outlives the probes, which refuse the waiting requests
  // when they are destroyed.
  std::map<std::string, std::string> refusals_;
  ProbeServices services_;
  Gate gate_;
  Heartbeat heartbeat_;
  ServiceManager service_manager_;
  Leadership leadership_;
  Scheduler scheduler_;
  StateKeeper state_;
  Reloader reloader_;
  std::unique_ptr<HttpServer> web_;
  std::unique_ptr<Election> election_;
  Lifecycle lifecycle_;
  // Installed when this process starts to observe.
  std::optional<std::vector<JobSpec>> pending_jobs_;

  config::Endpoint listen_;
  // As read at startup; a reload does not change them.
  config::WebSettings web_settings_;
  config::ElectionSettings election_settings_;
  std::set<std::string> pending_sections_;  // with changes that take effect after a restart
  std::chrono::steady_clock::time_point started_{};
  bool is_startup_over_ = false;
  bool is_serving_ = false;
  std::atomic<bool> all_ran_ = false;
  std::atomic<bool> is_observing_ = false;  // the jobs of the current configuration exist
};

}  // namespace vitalsd
