// Pages and errors of an S3 store, the times in them, and percent-encoding.
#include "config/url.hpp"
#include "probes/error.hpp"
#include "probes/net/s3.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try {
    net::parse_s3_page(text);
  } catch (const ProbeError&) {  // the error for an invalid page
  }
  net::s3_error(403, text);
  net::parse_iso_time(text);
  net::parse_http_time(text);
  if (config::percent_decode(config::percent_encode(text)) != text) std::abort();
  return 0;
}
