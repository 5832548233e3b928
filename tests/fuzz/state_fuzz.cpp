// The state file.
#include "daemon/state_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto state = parse_state(text);
  // A state that can be read can be written and read again.
  if (state && !parse_state(serialize_state(*state))) std::abort();
  return 0;
}
