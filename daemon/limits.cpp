#include "daemon/limits.hpp"

#include <algorithm>
#include <cstdint>

#include <link.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

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

void release_startup_pages() {
  const auto release = [](dl_phdr_info* object, std::size_t /*size*/, void* /*unused*/) {
    const auto page = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
    for (int i = 0; i < object->dlpi_phnum; ++i) {
      const ElfW(Phdr)& segment = object->dlpi_phdr[i];
      // Writable segments are skipped, because their data exists nowhere else.
      if (segment.p_type != PT_LOAD || (segment.p_flags & PF_W) != 0) continue;
      const std::uintptr_t begin = (object->dlpi_addr + segment.p_vaddr) / page * page;
      const std::uintptr_t end = object->dlpi_addr + segment.p_vaddr + segment.p_memsz;
      // NOLINTNEXTLINE(performance-no-int-to-ptr): the loader represents addresses as numbers
      madvise(reinterpret_cast<void*>(begin), end - begin, MADV_DONTNEED);
    }
    return 0;
  };
  dl_iterate_phdr(release, nullptr);
}

ProbeDescriptors probe_descriptors(const config::LimitSettings& limits) {
  constexpr std::size_t kReserved = 256;   // descriptors for everything except probes
  constexpr std::size_t kMax = 2'000'000;  // if the system sets no limit
  rlimit limit{};
  getrlimit(RLIMIT_NOFILE, &limit);
  const std::size_t descriptors = std::min<std::size_t>(limit.rlim_cur, kMax);
  const std::size_t available = descriptors - std::min(kReserved, descriptors / 2);
  const std::size_t running = limits.running > 0 ? static_cast<std::size_t>(limits.running)
                                                 : std::max<std::size_t>(available / 3, 1);
  return {.running = running, .kept = available - std::min(available, 2 * running)};
}

}  // namespace vitalsd
