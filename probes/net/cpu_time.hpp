// The CPU time of a thread. Unlike elapsed time, it does not include pauses of the process, so it
// is the right measure for a limit on work.
#pragma once

#include <chrono>

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX

namespace vitalsd::net {

/// The CPU time that the calling thread has used.
inline std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace vitalsd::net
