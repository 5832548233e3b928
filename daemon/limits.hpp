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

/// How the open-file limit is divided among the probes, after a reserve for everything else.
struct ProbeDescriptors {
  /// The maximum number of concurrent runs, each of which may use two descriptors.
  std::size_t running;
  /// The maximum number of connections that probes keep between runs.
  std::size_t kept;
};

/// Runs get limits.running, or two thirds of the descriptors if it is 0. Kept connections get the
/// rest, possibly none.
ProbeDescriptors probe_descriptors(const config::LimitSettings& limits);

}  // namespace vitalsd
