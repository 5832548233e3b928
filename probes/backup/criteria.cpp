#include "probes/backup/criteria.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <utility>

#include <fnmatch.h>

namespace vitalsd::backup {

using namespace std::chrono_literals;

Criteria::Criteria(config::Node& options)
    : pattern_(options.get<std::string>(
          "pattern", "*",
          "pattern of the names; * matches any characters, also '/' in the keys of a bucket, and ? "
          "matches one")),
      min_size_(options.get<config::Bytes>(
          "min_size", config::Bytes{1},
          "a smaller file, object or directory does not count as a backup")),
      of_directories_(
          options.choice("layout", {"files", "directories"},
                         "what a backup is: a file or object, or a directory with its files, as "
                         "pgBackRest, WAL-G and Velero write it (in S3: the keys with the same "
                         "text up to the first / after the prefix)") == "directories"),
      marker_(options.get<std::string>(
          "marker", "",
          "pattern of the path of a file that only a complete backup directory has, such as "
          "backup.manifest; * matches any characters, also '/'; requires layout: directories")),
      settle_(options.get<config::Duration>(
          "settle", 1min,
          "a file or directory that changed more recently counts as being written")) {
  // Without a pattern, no name could match.
  if (pattern_.empty()) options.error("pattern", "must not be empty");
  if (options.has("directory") && pattern_.contains('/'))
    options.error("pattern", "must not contain '/': it applies to the names in the directory");
  if (options.has("marker") && (marker_.empty() || marker_.starts_with('/')))
    options.error("marker", "must be the pattern of a path in the backup directory");
  if (of_directories_) return;
  if (options.has("marker")) options.error("marker", "requires layout: directories");
  // S3 lists an object only after it has been written completely, so `settle` does not apply.
  if (!options.has("s3")) return;
  if (options.has("settle")) options.error("settle", "requires directory or layout: directories");
  settle_ = 0s;
}

bool Criteria::matches(std::string_view name) const {
  constexpr std::array<std::string_view, 5> kUnfinished = {".tmp", ".part", ".partial",
                                                           ".incomplete", ".filepart"};
  const std::string_view base = name.substr(name.rfind('/') + 1);
  // The "folders" of S3 have no base name. The names of rsync's temporary files begin with a dot.
  if (base.empty() || base.starts_with('.')) return false;
  if (std::ranges::any_of(kUnfinished, [&](std::string_view end) { return base.ends_with(end); })) {
    return false;
  }
  return fnmatch(pattern_.c_str(), std::string(name).c_str(), 0) == 0;
}

bool Criteria::accepts(const Candidate& candidate, double now, Tally& tally) const {
  // Backups dated more than a day in the future are rejected: a wrong clock does not explain the
  // difference, and such a backup would count as recent for too long.
  constexpr double kTolerance = 86'400;  // seconds
  const double settle = std::chrono::duration<double>(settle_).count();
  if (!candidate.is_complete) {
    ++tally.incomplete;
  } else if (candidate.size < min_size_.value) {
    ++tally.too_small;
  } else if (candidate.modified > now + kTolerance) {
    if (tally.first_from_future.empty()) tally.first_from_future = candidate.name;
    ++tally.from_future;
  } else if (settle > 0 && candidate.modified > now - settle) {
    ++tally.being_written;
  } else {
    ++tally.good;
    return true;
  }
  return false;
}

Candidate Criteria::directory(std::string name) const {
  Candidate directory;
  directory.name = std::move(name);
  directory.is_complete = marker_.empty();
  return directory;
}

void Criteria::add_file(Candidate& directory, std::string_view path, std::uint64_t size,
                        double modified) const {
  directory.size += size;
  directory.modified = std::max(directory.modified, modified);
  if (!directory.is_complete) {
    directory.is_complete = fnmatch(marker_.c_str(), std::string(path).c_str(), 0) == 0;
  }
}

double now_unix() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

}  // namespace vitalsd::backup
