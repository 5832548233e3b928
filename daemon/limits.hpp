// What the machine allows: open files, and how many probes they carry at once; and memory.
#pragma once

#include "config/settings.hpp"

#include <cstddef>

namespace vitalsd {

/// Raises the soft limit on open files to the hard one; the limit in force.
std::size_t raise_descriptor_limit();

/// Gives back the pages of programs and libraries that only starting has needed: some are mapped by
/// the constructors and relocations of libraries that we never call. Code is mapped again, from the
/// page cache, when it runs.
void give_back_startup_pages();

/// How many runs at once the settings, or else the open-file limit, allow: two descriptors each,
/// after those that are not the probes'.
std::size_t max_running(const config::LimitSettings& limits);

}  // namespace vitalsd
