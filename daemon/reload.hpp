// Reading the configuration, at start and again: a file is read and all its probes are built on a
// thread of the pool, and only a configuration without a fault reaches the loop. Probe loop only.
#pragma once

#include "config/settings.hpp"
#include "daemon/job.hpp"
#include "daemon/self_metrics.hpp"
#include "probes/probe.hpp"

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include <boost/asio/io_context.hpp>

namespace vitalsd {

/// A configuration as read; usable if document->problems() has no errors.
struct Loaded {
  std::unique_ptr<config::Document> document;
  std::vector<JobSpec> jobs;
};

/// Reads the file and builds its probes. Any thread; blocks on the file.
Loaded load_configuration(const std::string& file, const Environment& environment);

/// Logs what is doubtful about a configuration without errors.
void log_warnings(const config::Problems& problems);

class Reloader {
 public:
  /// `install` takes a configuration without errors.
  Reloader(std::string file, const Environment& environment, SelfMetrics& metrics,
           std::function<void(Loaded)> install);

  /// Reads the file and installs it, or leaves everything as it is and says why. `done` is called
  /// with whether it worked and a text for people. A call during a reload starts another one after
  /// it.
  void reload(std::function<void(bool, std::string)> done);

  /// Reloads if the file has changed since it was last read, following symlinks (a ConfigMap is
  /// swapped by one).
  void reload_if_changed();

 private:
  struct FileState {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed_ns = 0;
    std::int64_t size = 0;
    bool operator==(const FileState&) const = default;
  };

  [[nodiscard]] FileState look() const;
  asio::awaitable<void> work();
  void finish(Loaded loaded);

  std::string file_;
  const Environment& environment_;
  SelfMetrics& metrics_;
  std::function<void(Loaded)> install_;
  FileState seen_;
  bool busy_ = false;
  std::vector<std::function<void(bool, std::string)>> waiting_;  // for the next reload
  std::vector<std::function<void(bool, std::string)>> served_;   // by the one under way
};

}  // namespace vitalsd
