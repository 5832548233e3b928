// Bodies with a content coding, in chunks of any size: the output never exceeds the limit.
#include "probes/net/content_decoder.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

using namespace vitalsd;
using net::ContentDecoder;

namespace {

constexpr std::size_t kMaxBody = std::size_t{64} << 10;

std::string decode(std::string_view coding, std::string_view bytes, std::size_t piece) {
  ContentDecoder decoder;
  decoder.announce(coding);
  std::string body;
  auto result = ContentDecoder::Result::good;
  for (; !bytes.empty() && result == ContentDecoder::Result::good;
       bytes.remove_prefix(std::min(piece, bytes.size()))) {
    result = decoder.take(bytes.substr(0, piece), body, kMaxBody);
  }
  if (result == ContentDecoder::Result::good) result = decoder.finish();
  if (body.size() > kMaxBody) std::abort();
  return result == ContentDecoder::Result::good ? body : "";
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::array<std::string_view, 4> kCodings = {"gzip", "deflate", "", "gzip, gzip"};
  if (size == 0) return 0;
  const std::string_view coding = kCodings[data[0] % kCodings.size()];
  const std::string_view bytes(reinterpret_cast<const char*>(data) + 1, size - 1);
  if (decode(coding, bytes, 1) != decode(coding, bytes, size)) std::abort();
  return 0;
}
