// URLs, endpoints and other scalars, and Location headers.
#include "config/scalar.hpp"
#include "config/socket_url.hpp"

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  using namespace config;
  const auto url = Scalar<Url>::parse(text);
  if (url) resolve_url(*url, text);
  resolve_url(
      {.scheme = "https", .user = "", .password = "", .host = "h", .path = "/", .query = ""}, text);
  Scalar<SocketUrl>::parse(text);
  const auto endpoint = Scalar<Endpoint>::parse(text);
  // The printed form can be parsed and has the same meaning.
  if (endpoint && *Scalar<Endpoint>::parse(endpoint->text()) != *endpoint) std::abort();
  const auto duration = Scalar<Duration>::parse(text);
  if (duration && *Scalar<Duration>::parse(Scalar<Duration>::show(*duration)) != *duration)
    std::abort();
  const auto bytes = Scalar<Bytes>::parse(text);
  if (bytes && *Scalar<Bytes>::parse(Scalar<Bytes>::show(*bytes)) != *bytes) std::abort();
  Scalar<Ratio>::parse(text);
  Scalar<double>::parse(text);
  Scalar<std::int64_t>::parse(text);
  return 0;
}
