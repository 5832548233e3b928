// Quantities in the format of the API server, which keeps the users' notation.
#include "probes/kubernetes/objects/quantity.hpp"

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto amount = kubernetes::parse_quantity(text);
  if (!amount) return 0;
  if (!std::isfinite(*amount)) std::abort();
  if (text[0] != '+' && text[0] != '-' &&
      kubernetes::parse_quantity('-' + std::string(text)) != -*amount) {
    std::abort();
  }
  return 0;
}
