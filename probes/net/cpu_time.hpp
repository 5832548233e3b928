// How much of the processor this thread has had: a bound on work that no pause of the process can
// exceed, as a bound on time would be.
#pragma once

#include <chrono>

#include <time.h>  // NOLINT(modernize-deprecated-headers): clock_gettime is POSIX

namespace vitalsd::net {

inline std::chrono::nanoseconds thread_cpu_time() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
}

}  // namespace vitalsd::net
