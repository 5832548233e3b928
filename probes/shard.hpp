// The share of the work that this process does if several processes divide the work (`--shard`).
// Each name or uid belongs to exactly one process. A restart does not change the assignment.
#pragma once

#include <cstdint>
#include <string_view>

namespace vitalsd {

/// A hash that is the same on every machine and after every start.
std::uint64_t stable_hash(std::string_view text);

struct Shard {
  std::uint32_t index = 0;
  std::uint32_t count = 1;

  [[nodiscard]] bool divided() const { return count > 1; }
  [[nodiscard]] bool owns(std::string_view key) const {
    return !divided() || stable_hash(key) % count == index;
  }
};

}  // namespace vitalsd
