// Counts the open descriptors of the process.
#pragma once

#include <cstddef>
#include <filesystem>
#include <iterator>

namespace vitalsd::test {

inline std::ptrdiff_t open_descriptors() {
  const std::filesystem::directory_iterator all("/proc/self/fd");
  return std::distance(begin(all), end(all));
}

}  // namespace vitalsd::test
