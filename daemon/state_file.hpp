// What survives a restart, in one versioned JSON file that is replaced by rename. A file that
// cannot be used is moved aside and reported: vitalsd starts without memory rather than not at all,
// and overwrites nothing that it cannot read. A lock beside the file keeps a second process from
// writing it. All of it blocks.
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

/// What is kept of one probe. Kind and target tell whether it is still about the same thing.
struct SavedProbe {
  std::string kind;
  std::string target;
  JobMemory memory;
};

using SavedState = std::map<std::string, SavedProbe>;

std::string serialize_state(const SavedState& state);

/// The state, or what is wrong with the text.
std::expected<SavedState, std::string> parse_state(std::string_view text);

/// The file of one process: state.json, or state-0-of-3.json for the first of three shards.
class StateFile {
 public:
  enum class Saved : unsigned char {
    yes,
    locked,   ///< another process has the lock: nothing is written until it ends
    changed,  ///< it is another file than was loaded: load it again first
    given_up,
    failed
  };
  struct Result {
    Saved saved = Saved::yes;
    std::string problem;  ///< for people; empty where there is none
  };

  StateFile(const std::string& directory, const Shard& shard);
  /// Releases the lock.
  ~StateFile();
  StateFile(const StateFile&) = delete;
  StateFile& operator=(const StateFile&) = delete;

  [[nodiscard]] const std::string& path() const { return path_; }

  struct Unusable {
    std::string problem;
    bool for_now = false;  ///< the error passes, the file may be good: nothing is saved over it
  };

  /// The state of the file; an empty one where there is no file yet; or why it cannot be used, and
  /// where it is moved to. Takes the lock if nobody has it. A shard that has no file yet reads
  /// state.json, where earlier versions kept it.
  std::expected<SavedState, Unusable> load();

  /// Takes the lock if it has not got it, writes `text` beside the file, flushes it and renames it
  /// over the file, if `may_replace` says then that it still may.
  Result save(const std::string& text, const std::function<bool()>& may_replace);

 private:
  enum class Lock : unsigned char { free, ours, others, unsupported };
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
  std::string unsharded_;  // empty: path_ is it
  Lock lock_ = Lock::free;
  int lock_file_ = -1;
  std::string lock_problem_;
  bool unusable_ = false;         // what is there must not be overwritten
  std::optional<Identity> seen_;  // what was loaded, or saved by us
};

}  // namespace vitalsd
