// The state that survives a restart, in one versioned JSON file that is replaced by rename. A file
// that cannot be used is moved aside and reported: vitalsd then starts without state, and never
// overwrites a file that it cannot read. A lock file prevents a second process from writing. All
// calls block.
#pragma once

#include "daemon/job.hpp"
#include "probes/shard.hpp"

#include <cstdint>
#include <expected>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

namespace vitalsd {

/// The state of one probe. It applies to a job of the same kind and target only.
struct SavedProbe {
  std::string kind;
  std::string target;
  JobMemory memory;
};

using SavedState = std::map<std::string, SavedProbe>;

std::string serialize_state(const SavedState& state);

/// Returns the state, or the problem with the text.
std::expected<SavedState, std::string> parse_state(std::string_view text);

/// The file of one process: state.json, or state-0-of-3.json for the first of three shards.
class StateFile {
 public:
  enum class Saved : unsigned char {
    yes,
    locked,     ///< another process holds the lock; nothing was written
    changed,    ///< another process has replaced the file: load it again before saving
    cancelled,  ///< may_replace() returned false; the file is unchanged
    failed
  };
  struct Result {
    Saved saved = Saved::yes;
    std::string problem;  ///< empty if there is none
  };

  StateFile(const std::string& directory, const Shard& shard);
  /// Releases the lock.
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

  struct Unusable {
    std::string problem;
    bool is_transient = false;  ///< the file may be valid, so it must not be replaced
  };

  /// Returns the state, which is empty if there is no file yet, or the problem and the new name of
  /// the file that was moved aside. Takes the lock if it is free. A shard that has no file yet
  /// reads state.json, which earlier versions wrote.
  std::expected<SavedState, Unusable> load();

  /// Takes the lock if it is free, writes `text` to a new file, flushes it, and renames it over the
  /// state file if `may_replace` returns true at that moment.
  Result save(const std::string& text, const std::function<bool()>& may_replace);

 private:
  enum class Lock : unsigned char { not_taken, held, held_by_other, unsupported };
  struct Identity {
    std::uint64_t inode = 0;
    std::int64_t changed_ns = 0;
    std::int64_t size = 0;
    bool operator==(const Identity&) const = default;
  };

  [[nodiscard]] Identity identity() const;

  void take_lock();
  std::string set_aside();

  std::string path_;
  std::string unsharded_;  // the file of a process without shards; empty if path_ is that file
  Lock lock_ = Lock::not_taken;
  int lock_file_ = -1;
  std::string lock_problem_;
  bool is_unusable_ = false;       // the file must be moved aside before it is replaced
  std::optional<Identity> known_;  // the file when it was last loaded or saved
};

}  // namespace vitalsd
