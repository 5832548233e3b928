// The text of INFO.
#include "probes/redis/info.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const RedisInfo info{std::string(text)};
  (void)info.number("used_memory");
  (void)info.is("role", "master");
  for (const auto& [db, value] : info.numbered("db")) to_number(sub_field(value, "keys"));
  return 0;
}
