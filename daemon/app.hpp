// The daemon put together: threads, configuration -> scheduler -> exposition -> web, reload,
// shutdown. Everything here runs on the main thread, which is the probe loop.
#pragma once

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
#include "probes/services.hpp"

#include <atomic>
#include <chrono>
#include <memory>
#include <optional>
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
    std::optional<config::Endpoint> listen;  ///< instead of the configuration's
    Shard shard;                             ///< of the work that several processes divide
    ElectionPace election_pace{};
  };

  explicit App(Options options);

  /// Reads the configuration, runs until SIGTERM or SIGINT, and says how that went.
  Exit run();

 private:
  bool serve(const config::WebSettings& web);
  void install(Loaded loaded);
  void start_serving();
  void begin_to_observe();
  void apply(std::vector<JobSpec> jobs);
  void leadership_changed(bool leads);
  void reload();
  void tick();
  [[nodiscard]] std::vector<Lifecycle::Owner> owners();

  Options options_;
  asio::io_context loop_{1};
  Exposition exposition_;
  Board board_;
  SelfMetrics metrics_;
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
  std::optional<std::vector<JobSpec>> waiting_;  // for us to observe

  config::Endpoint listen_;
  config::WebSettings web_settings_;
  config::ElectionSettings election_settings_;
  std::chrono::steady_clock::time_point started_{};
  bool settled_ = false;
  bool serves_ = false;
  std::atomic<bool> all_ran_ = false;
  std::atomic<bool> observes_ = false;  // the configuration in force is at work
};

}  // namespace vitalsd
