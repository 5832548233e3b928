// Lists the backups of a directory: its files, or its directories with the files in them. Blocks on
// the file system and reads any number of entries: must run on a thread of the pool.
#pragma once

#include "probes/backup/criteria.hpp"
#include "probes/net/offload.hpp"

#include <cstddef>
#include <string>
#include <vector>

namespace vitalsd::backup {

struct Listing {
  static constexpr std::size_t kMaxNewest = 1000;

  std::vector<Candidate> newest;  ///< at most kMaxNewest good backups, the newest first
  Tally tally;                    ///< of all candidates
};

/// Lists the backups at `path`. A directory that is one backup and cannot be read counts as
/// unreadable. Throws ProbeError: permission or mismatch if `path` cannot be read, or if a backup
/// is unreadable and no other backup is good; config if a backup has more than a million files or
/// more than 32 levels of directories, because the configured path or pattern is then a mistake.
Listing list_backups(const std::string& path, const Criteria& criteria, const net::StopFlag& stop);

}  // namespace vitalsd::backup
