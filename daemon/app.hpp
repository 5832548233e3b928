// The daemon put together: threads, configuration -> scheduler -> exposition -> web, reload,
// shutdown. Everything here runs on the main thread, which is the probe loop.
#pragma once

#include "config/settings.hpp"
#include "daemon/board.hpp"
#include "daemon/election.hpp"
#include "daemon/gate.hpp"
#include "daemon/heartbeat.hpp"
#include "daemon/reload.hpp"
#include "daemon/scheduler.hpp"
#include "daemon/self_metrics.hpp"
#include "daemon/service_manager.hpp"
#include "daemon/state_file.hpp"
#include "exporter/model/exposition.hpp"
#include "exporter/web/http_server.hpp"
#include "probes/services.hpp"

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>

namespace vitalsd {

/// Exit codes of the daemon.
enum class Exit : int { ok = 0, failure = 1, config = 2, bind = 3 };

class App {
 public:
  struct Options {
    std::string config_file;
    std::optional<config::Endpoint> listen;  ///< instead of the configuration's
    Shard shard;                             ///< of the work that several processes divide
  };

  explicit App(Options options);

  /// Reads the configuration, runs until SIGTERM or SIGINT, and says how that went.
  Exit run();

 private:
  bool serve(const config::WebSettings& web);
  void install(Loaded loaded);
  void apply(std::vector<JobSpec> jobs);
  void leadership_changed(bool leads);
  void load_saved_state();
  void recall(Job& job);
  void await_signal();
  void reload();
  void tick();
  void save_state_if_due();
  [[nodiscard]] SavedState current_state() const;
  void shut_down(std::string_view why);
  void finish_when_idle();

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
  Reloader reloader_;
  asio::signal_set signals_;
  std::unique_ptr<HttpServer> web_;
  std::unique_ptr<Election> election_;
  std::optional<std::vector<JobSpec>> waiting_;  // for us to lead
  net::Timer tick_timer_;
  net::Timer end_timer_;

  config::Endpoint listen_;
  config::WebSettings web_settings_;
  config::ElectionSettings election_settings_;
  std::string state_path_;  // empty: nothing is saved
  SavedState recalled_;
  std::uint64_t saved_version_ = 0;
  std::chrono::steady_clock::time_point saved_at_{};
  std::chrono::steady_clock::time_point end_by_{};
  std::chrono::steady_clock::time_point started_{};
  bool settled_ = false;
  std::atomic<bool> all_ran_ = false;
};

}  // namespace vitalsd
