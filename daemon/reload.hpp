// Reading the configuration, at start and again: a file is read and all its probes are built on a
// thread of its own, which no dead mount of a probe can take away, and only a configuration without
// a fault reaches the loop. Probe loop only.
#pragma once

#include "config/settings.hpp"
#include "daemon/job.hpp"
#include "daemon/self_metrics.hpp"
#include "probes/net/offload.hpp"
#include "probes/probe.hpp"

#include <cstdint>
#include <ctime>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
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

/// The same from the text of a file that was read earlier.
Loaded load_configuration(const std::string& file, std::string_view text,
                          const Environment& environment);

/// Logs what is doubtful about a configuration without errors.
void log_warnings(const config::Problems& problems);

class Reloader {
 public:
  /// `install` takes a configuration without errors.
  Reloader(std::string file, const Environment& environment, SelfMetrics& metrics,
           std::function<void(Loaded)> install);

  using Done = std::function<void(bool, std::string)>;

  /// Reads the file and installs it, or leaves everything as it is and says why. `done` is called
  /// with whether it worked and a text for people. A call during a reload starts another one after
  /// it.
  void reload(Done done);

  /// Reloads if the file has changed since it was last read, following symlinks (a ConfigMap is
  /// swapped by one).
  void reload_if_changed();

  /// What was read elsewhere and is in force.
  void set_in_force(std::string text) { in_force_ = std::move(text); }

  /// Builds the probes of the configuration in force once more and installs them: the file may be
  /// invalid by now. A reload that is under way and works does as well. Where it fails it is tried
  /// again whenever reload_if_changed() is called.
  void install_again();

  /// Installs nothing any more; who waits is told.
  void stop();
  /// Whether nothing is being read.
  [[nodiscard]] bool idle() const { return !busy_; }

 private:
  struct FileState {
    std::uint64_t device = 0;
    std::uint64_t inode = 0;
    std::int64_t changed_ns = 0;
    std::int64_t size = 0;
    bool operator==(const FileState&) const = default;
  };

  [[nodiscard]] FileState look() const;
  template <class Read, class Then>
  void submit(Read read, Then then, void (Reloader::*fails)(const std::string&));
  void work();
  void finish(Loaded loaded);
  void fail(const std::string& why);
  void fail_again(const std::string& why);
  void answer(bool worked, const std::string& text);
  void next(bool failed);

  std::string file_;
  const Environment& environment_;
  SelfMetrics& metrics_;
  std::function<void(Loaded)> install_;
  FileState seen_;
  bool busy_ = false;
  bool stopped_ = false;
  std::vector<Done> waiting_;  // for the next reload
  std::vector<Done> served_;   // by the one under way
  bool again_ = false;         // install_again() is still to be done
  std::string trouble_;        // why it failed, as last logged
  std::string in_force_;       // the text of that file
  net::Offload thread_;
};

}  // namespace vitalsd
