// Moments as the API server writes them.
#include "probes/kubernetes/time.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr double kDay = 86400;
  constexpr double kYear1 = -62135596800;
  constexpr double kYear10000 = 253402300800;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto time = kubernetes::parse_time(text);
  if (time && !(*time > kYear1 - kDay && *time < kYear10000 + kDay)) std::abort();
  return 0;
}
