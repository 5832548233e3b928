// Which files, objects or directories of a store count as backups, as far as a listing can show it.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"

#include <cstdint>
#include <string>
#include <string_view>

namespace vitalsd::backup {

/// A file or object, or a directory that is one backup.
struct Candidate {
  std::string name;
  std::uint64_t size = 0;  ///< bytes; for a directory the sum of its files
  double modified = 0;     ///< Unix time; for a directory that of its newest file
  std::uint64_t inode = 0;
  bool is_complete = true;  ///< false: a directory without the marker
};

/// The number of candidates by result.
struct Tally {
  double good = 0;
  double unmatched = 0;
  double of_other_layout = 0;  ///< directories with layout: files, or files beside directories
  double incomplete = 0;
  double too_small = 0;
  double being_written = 0;
  double broken = 0;
  double unreadable = 0;  ///< directories
  double from_future = 0;
  std::string first_from_future;  ///< name
};

class Criteria {
 public:
  explicit Criteria(config::Node& options);

  /// Whether each directory of the store is a backup, instead of each file or object.
  [[nodiscard]] bool of_directories() const { return of_directories_; }
  /// Whether a backup may have this name.
  [[nodiscard]] bool matches(std::string_view name) const;
  /// Whether a candidate with a matching name is a backup at `now` (Unix time). Counts it in
  /// `tally`.
  bool accepts(const Candidate& candidate, double now, Tally& tally) const;

  /// Creates a directory without files.
  [[nodiscard]] Candidate directory(std::string name) const;
  /// Adds a file to its directory. `path` is relative to the directory.
  void add_file(Candidate& directory, std::string_view path, std::uint64_t size,
                double modified) const;

 private:
  std::string pattern_;
  config::Bytes min_size_;
  bool of_directories_;
  std::string marker_;
  config::Duration settle_;
};

/// Unix time, in seconds.
double now_unix();

}  // namespace vitalsd::backup
