// Limits of the process: open files, the number of concurrent runs that they allow, and memory.
#pragma once

#include "config/settings.hpp"

#include <cstddef>

namespace vitalsd {

/// Raises the soft limit on open files to the hard limit and returns the new limit.
std::size_t raise_descriptor_limit();

/// Releases the pages of the program and its libraries that only startup needed (constructors and
/// relocations). Code that runs later is mapped again from the page cache.
void release_startup_pages();

/// The maximum number of concurrent runs: limits.running, or, if that is not set, half of the
/// descriptors that the open-file limit leaves for probes, because a run may use two.
std::size_t max_running(const config::LimitSettings& limits);

}  // namespace vitalsd
