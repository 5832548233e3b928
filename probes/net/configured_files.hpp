// Reads the files that the configuration names (secrets, certificates, kubeconfig) on threads,
// because a file on an unreachable NFS server would block the probe loop. Probe loop only.
//
// Each use reads the file again, or checks whether it has changed, so a rotated file needs no
// reload. While a read hangs, the last content is used.
#pragma once

#include "config/secret.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/recently_used.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>
#include <cstddef>
#include <exception>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

namespace vitalsd {
class SampleSet;
}

namespace vitalsd::net {

/// The content of a file. As long as the content does not change, all reads return the same object.
using FileText = std::shared_ptr<const std::string>;

class ConfiguredFiles {
 public:
  struct Limits {
    std::chrono::milliseconds hanging{1'000};  ///< a read that takes longer is considered to hang
    std::chrono::milliseconds stale{300'000};  ///< maximum age of the last content while reads hang
    std::size_t bytes = std::size_t{4} << 20;  ///< of one file
  };

  ConfiguredFiles(asio::io_context& loop, TimerWheel& wheel);
  ConfiguredFiles(asio::io_context& loop, TimerWheel& wheel, Limits limits);
  ~ConfiguredFiles();
  ConfiguredFiles(const ConfiguredFiles&) = delete;
  ConfiguredFiles& operator=(const ConfiguredFiles&) = delete;

  /// Returns the content of the regular file `path`, as of the call or later. If the file's
  /// directory hangs, returns the last content. Throws ProbeError: config if the file cannot be
  /// read, internal if its directory hangs and the last content is unknown or too old.
  asio::awaitable<FileText> read(std::string path);

  /// The same for a file whose path `find` returns, which is called on the thread. If `find`
  /// returns no path, the content is empty. `name` is for messages.
  asio::awaitable<FileText> read(std::string name, std::string (*find)());

  /// Returns the value of a secret. Throws ProbeError as above; the message never contains the
  /// value.
  asio::awaitable<std::string> read(config::Secret secret);

  /// The same as a step of a run, which conceals the value: if the deadline passes during the read,
  /// the failure is not attributed to the target.
  asio::awaitable<std::string> read(config::Secret secret, SampleSet& out);

  /// The number of threads in an abandoned call that has not returned.
  [[nodiscard]] std::size_t hanging() const { return threads_.hanging(); }

 private:
  struct File;
  struct Directory;

  static std::string text_of(const std::exception_ptr& error, bool is_started);
  void start(const std::shared_ptr<Directory>& directory);
  asio::awaitable<FileText> read_in(std::string directory_name, std::string name,
                                    std::string (*find)());

  asio::io_context& loop_;
  TimerWheel& wheel_;
  Limits limits_;
  // Each directory has at most one read at a time, so a directory that hangs uses one thread.
  RecentlyUsed<std::shared_ptr<Directory>> directories_;
  Offload threads_;
};

}  // namespace vitalsd::net
