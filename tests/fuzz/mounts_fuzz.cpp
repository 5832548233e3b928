// /proc/self/mountinfo, which contains names that users choose.
#include "probes/filesystem/mounts.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  for (const Mount& mount : parse_mountinfo(text)) has_no_free_space(mount.fstype);
  return 0;
}
