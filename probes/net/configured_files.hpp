// Reads the files that the configuration names (secrets, certificates, kubeconfig) on threads,
// because a file on an unreachable NFS server would block the probe loop. Probe loop only.
//
// Each use reads the file again, or only looks whether it has changed, so a rotated file needs no
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

/// The content of a file. While the content stays the same, it is the same object.
using FileText = std::shared_ptr<const std::string>;

class ConfiguredFiles {
 public:
  struct Limits {
    std::chrono::milliseconds hanging{1'000};  ///< a read that takes longer hangs
    std::chrono::milliseconds stale{300'000};  ///< the last content is used so long
    std::size_t bytes = std::size_t{4} << 20;  ///< of one file
  };

  ConfiguredFiles(asio::io_context& loop, TimerWheel& wheel);
  ConfiguredFiles(asio::io_context& loop, TimerWheel& wheel, Limits limits);
  ~ConfiguredFiles();
  ConfiguredFiles(const ConfiguredFiles&) = delete;
  ConfiguredFiles& operator=(const ConfiguredFiles&) = delete;

  /// The content of the regular file `path` at the time of the call or later. If its directory
  /// hangs: the last content. Throws ProbeError: config if the file cannot be read, internal if its
  /// directory hangs and the last content is unknown or too old.
  asio::awaitable<FileText> read(std::string path);

  /// The same for the file whose path `find` returns on the thread; empty text if it returns none.
  /// `name` is for messages.
  asio::awaitable<FileText> read(std::string name, std::string (*find)());

  /// The value of a secret. Throws ProbeError as above; the text never has the value.
  asio::awaitable<std::string> read(config::Secret secret);

  /// The same as a step of a run: if its deadline passes meanwhile, the target is not blamed.
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
  // One read at a time in each directory, so that a dead one uses one thread.
  RecentlyUsed<std::shared_ptr<Directory>> directories_;
  Offload threads_;
};

}  // namespace vitalsd::net
