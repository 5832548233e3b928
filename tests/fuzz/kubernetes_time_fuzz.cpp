// Timestamps in the format of the API server.
#include "probes/kubernetes/objects/time.hpp"

#include <cmath>
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
  const auto exact = kubernetes::parse_nanoseconds(text);
  if (exact && (!time || std::abs(static_cast<double>(*exact) / 1e9 - *time) > 1e-5)) std::abort();
  return 0;
}
