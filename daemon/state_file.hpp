// What survives a restart, in one versioned JSON file that is replaced by rename. A damaged or
// foreign file is reported and ignored: vitalsd starts without memory rather than not at all.
#pragma once

#include "daemon/job.hpp"

#include <expected>
#include <map>
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

/// The file in a state directory.
std::string state_file_path(const std::string& directory);

std::string serialize_state(const SavedState& state);

/// The state, or what is wrong with the text.
std::expected<SavedState, std::string> parse_state(std::string_view text);

/// The state of the file; an empty one where there is no file yet; or why it cannot be read.
std::expected<SavedState, std::string> load_state(const std::string& path);

/// Writes `text` beside the file, flushes it and renames it over the file. Blocks. Empty, or what
/// went wrong.
std::string save_state(const std::string& path, const std::string& text);

}  // namespace vitalsd
