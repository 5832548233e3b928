// Loads the configuration at start and at a reload. A reload reads the file and builds all probes
// on its own thread, so a hanging file or mount blocks nothing else. Only a configuration without
// errors is applied. Probe loop only.
#pragma once

#include "config/files/small_file.hpp"
#include "config/settings.hpp"
#include "daemon/build.hpp"
#include "daemon/job.hpp"
#include "daemon/preflight.hpp"
#include "daemon/self_metrics.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/probe.hpp"

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {

/// A loaded configuration. It may be used only if document->problems() has no errors.
struct Loaded {
  std::unique_ptr<config::Document> document;
  std::vector<JobSpec> jobs;
  std::vector<ProbeRoute> routes;
  std::optional<Preflight> preflight;  ///< of a configuration without errors
};

/// Reads the file and builds its probes. Blocks on the file. Any thread.
Loaded load_configuration(const std::string& file, const Environment& environment);

/// Builds the probes from the text of a file that was read before.
Loaded load_configuration(const std::string& file, std::string_view text,
                          const Environment& environment);

/// Logs the warnings about a configuration without errors, those of its preflight later, from the
/// loop. Takes the preflight.
void log_warnings(Loaded& loaded, const Environment& environment);

class Reloader {
 public:
  /// `install` is called with a configuration without errors.
  Reloader(std::string file, const Environment& environment, SelfMetrics& metrics,
           std::function<void(Loaded)> install);

  /// Called after each reload with its error; the error is empty if the reload succeeded.
  std::function<void(const std::string& problem)> on_reloaded = [](const std::string&) {};

  using Done = std::function<void(bool, std::string)>;

  /// Reads the file and installs the configuration; if that fails, nothing changes. `done` gets
  /// whether the reload succeeded and a message to display. A call during a reload starts another
  /// reload afterwards.
  void reload(Done done);

  /// Checks the file now and every second, and reloads it if it has changed since it was last read.
  /// Follows symbolic links, because Kubernetes updates a ConfigMap by replacing a link.
  void reload_if_changed();

  /// Sets the text of the current configuration, which the caller has read.
  void set_in_force(std::string text) { in_force_ = std::move(text); }

  /// Builds the probes of the current configuration again and installs them. Does not read the
  /// file, which may have become invalid. A successful reload in progress has the same effect.
  /// After a failure, the checks that reload_if_changed() starts retry it.
  void install_again();

  /// Prevents any further installation. Pending reloads are reported as failed.
  void stop();
  /// Whether no file is being read.
  [[nodiscard]] bool idle() const { return !is_busy_; }
  /// The number of threads in an abandoned call that has not returned.
  [[nodiscard]] std::size_t hanging() const { return thread_.hanging(); }

 private:
  using OnError = void (Reloader::*)(const std::string& why);

  template <class Read, class Then>
  void submit(const std::string& resource, std::chrono::seconds limit, Read read, Then then,
              OnError on_error);
  void start_reload();
  void finish(Loaded loaded);
  void fail(const std::string& why);
  void fail_look(const std::string& why);
  void fail_install_again(const std::string& why);
  void report(bool succeeded, const std::string& text);
  void start_next(bool failed);

  std::string file_;
  const Environment& environment_;
  SelfMetrics& metrics_;
  std::function<void(Loaded)> install_;
  config::FileVersion known_;  // the version of the file that was last read
  bool is_busy_ = false;       // the thread is in use
  bool is_looking_ = false;    // the thread only checks the version of the file
  bool is_stopped_ = false;
  std::vector<Done> waiting_;      // callbacks of the next reload
  std::vector<Done> in_progress_;  // callbacks of the reload in progress
  bool must_install_again_ = false;
  std::string look_error_;            // the last logged error of a check of the file
  std::string install_error_;         // the last logged error of install_again()
  std::string in_force_;              // the text of the current configuration
  asio::cancellation_signal cancel_;  // of the call on the thread
  net::Timer limit_;
  net::Offload thread_;
};

}  // namespace vitalsd
