#include "daemon/limits.hpp"

#include <algorithm>

#include <sys/resource.h>

namespace vitalsd {

std::size_t raise_descriptor_limit() {
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur < limit.rlim_max) {
    rlimit raised = limit;
    raised.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &raised) == 0) return raised.rlim_cur;
  }
  return limit.rlim_cur;
}

std::size_t most_running(const config::LimitSettings& limits) {
  constexpr std::size_t kReserved = 256;    // descriptors that are not the probes'
  constexpr std::size_t kMost = 2'000'000;  // where there is no limit
  if (limits.running > 0) return static_cast<std::size_t>(limits.running);
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t descriptors = std::min<std::size_t>(limit.rlim_cur, kMost);
  return descriptors > 2 * kReserved ? (descriptors - kReserved) / 2 : kReserved / 2;
}

}  // namespace vitalsd
