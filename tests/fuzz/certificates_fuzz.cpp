// Files of certificates, and of what is none.
#include "probes/error.hpp"
#include "probes/net/certificate_file.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    net::read_certificates(text);
  } catch (const ProbeError&) {  // the error for an invalid file
  }
  return 0;
}
