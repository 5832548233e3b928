// The memory of the test process.
#pragma once

#include <cstddef>
#include <fstream>

#include <unistd.h>

namespace vitalsd::test {

/// Whether a sanitizer replaces the allocator, so that memory figures have no meaning.
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
inline constexpr bool kIsSanitized = true;
#else
inline constexpr bool kIsSanitized = false;
#endif
#else
inline constexpr bool kIsSanitized = false;
#endif

struct ProcessMemory {
  std::size_t address_space;  ///< bytes
  std::size_t resident;       ///< bytes
};

inline ProcessMemory process_memory() {
  std::ifstream file("/proc/self/statm");
  std::size_t all = 0;
  std::size_t resident = 0;
  file >> all >> resident;
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  return {all * page, resident * page};
}

inline std::size_t resident_bytes() { return process_memory().resident; }
inline std::size_t address_space_bytes() { return process_memory().address_space; }

}  // namespace vitalsd::test
