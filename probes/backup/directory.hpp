// A directory of backups: lists them, ignores those that are still being written, and verifies the
// newest ones. Probe loop only; the thread pool reads the files.
#pragma once

#include "probes/backup/criteria.hpp"
#include "probes/backup/gzip_check.hpp"
#include "probes/probe.hpp"

#include <compare>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::backup {

class Directory {
 public:
  Directory(std::string path, config::Node& options);

  [[nodiscard]] const std::string& path() const { return path_; }

  /// Returns the newest candidates that are backups by name, size and age, the newest first (at
  /// most Listing::kMaxNewest). Sets `tally`. Throws ProbeError if the directory cannot be read.
  asio::awaitable<std::vector<Candidate>> list(const Environment& environment,
                                               const Criteria& criteria, Tally& tally);

  /// Returns the newest file that is not broken; nothing if there is none. Counts broken files.
  /// Throws ProbeError(unready) while the verification of a file continues in the next run.
  asio::awaitable<std::optional<Candidate>> find_newest(const Environment& environment,
                                                        const std::vector<Candidate>& files,
                                                        SampleSet& out, Tally& tally);

  /// Takes over the results of files that have not changed.
  void inherit(Directory& old);

  /// Why files are broken: "; NAME FAULT" for each.
  [[nodiscard]] std::string faults() const;

 private:
  // A file that changes is verified again.
  struct Identity {
    std::string name;
    std::uint64_t inode;
    std::uint64_t size;
    double modified;
    auto operator<=>(const Identity&) const = default;
  };
  static Identity identity_of(const Candidate& file) {
    return {file.name, file.inode, file.size, file.modified};
  }

  void forget_all_but(const std::vector<Candidate>& files);
  asio::awaitable<GzipCheck::State> verify(const Environment& environment, const Candidate& file,
                                           SampleSet& out);

  std::string path_;
  bool verify_;
  std::map<std::string, std::uint64_t>
      sizes_;  // bytes by name, of the newest files, in the previous run
  std::map<Identity, std::shared_ptr<GzipCheck>> checks_;
};

}  // namespace vitalsd::backup
