#include "probes/net/content_decoder.hpp"

#include <cstddef>
#include <string>
#include <string_view>

#include "unit/support/gzip.hpp"
#include <gtest/gtest.h>

namespace vitalsd::net {
namespace {

using Result = ContentDecoder::Result;

constexpr std::size_t kMaxBody = std::size_t{1} << 20;

// Text in zlib's format, and the raw deflate stream without its header and checksum.
std::string zlib_of(std::string_view text) {
  uLongf size = compressBound(text.size());
  std::string out(size, '\0');
  compress(reinterpret_cast<Bytef*>(out.data()), &size, reinterpret_cast<const Bytef*>(text.data()),
           text.size());
  out.resize(size);
  return out;
}
std::string raw_deflate(const std::string& zlib) { return zlib.substr(2, zlib.size() - 6); }

struct Decoded {
  Result result = Result::good;
  std::string body;
  std::string fault;
};

Decoded decode(std::string_view codings, std::string_view bytes, std::size_t max = kMaxBody,
               std::size_t piece = 1) {
  ContentDecoder decoder;
  decoder.announce(codings);
  Decoded decoded;
  while (!bytes.empty() && decoded.result == Result::good) {
    decoded.result = decoder.take(bytes.substr(0, piece), decoded.body, max);
    bytes.remove_prefix(std::min(piece, bytes.size()));
  }
  if (decoded.result == Result::good) decoded.result = decoder.finish();
  decoded.fault = decoder.fault();
  return decoded;
}

TEST(ContentDecoderTest, PassesAnUnencodedBody) {
  EXPECT_EQ(decode("", "hello").body, "hello");
  EXPECT_EQ(decode("identity", "hello").body, "hello");
  EXPECT_EQ(decode(" , Identity", "hello").body, "hello");
}

TEST(ContentDecoderTest, IgnoresUnknownCodings) {
  for (const std::string_view coding :
       {"utf-8", "UTF-8", "none", "identity, none", "aws-chunked", "binary", "*", "gzip;q=1"}) {
    EXPECT_EQ(decode(coding, "hello").body, "hello") << coding;
    EXPECT_EQ(decode(coding, "hello").result, Result::good) << coding;
    EXPECT_EQ(decode(coding, "hello", 4).result, Result::too_large) << coding;
  }
  EXPECT_EQ(decode("aws-chunked, gzip", test::gzip("hello")).body, "hello");
  EXPECT_EQ(decode("gzip, utf-8", test::gzip("hello")).body, "hello");
}

TEST(ContentDecoderTest, DecodesOneCoding) {
  const std::string text(100'000, 'x');
  for (const std::string_view coding : {"gzip", "GZIP", "x-gzip", " gzip ", "identity, gzip"}) {
    EXPECT_EQ(decode(coding, test::gzip(text)).body, text) << coding;
  }
  EXPECT_EQ(decode("gzip", test::gzip(text), kMaxBody, kMaxBody).body, text);
  EXPECT_EQ(decode("deflate", zlib_of(text)).body, text);
  EXPECT_EQ(decode("deflate", raw_deflate(zlib_of(text))).body, text);
}

TEST(ContentDecoderTest, AcceptsAnEmptyBodyWithAnyCoding) {
  EXPECT_EQ(decode("gzip", "").result, Result::good);
  EXPECT_EQ(decode("gzip, br", "").result, Result::good);
  EXPECT_EQ(decode("gzip", test::gzip("")).result, Result::good);
}

TEST(ContentDecoderTest, RejectsSeveralCodings) {
  const std::string twice = test::gzip(test::gzip("hello"));
  const Decoded decoded = decode("gzip, gzip", twice);
  EXPECT_EQ(decoded.result, Result::broken);
  EXPECT_EQ(decoded.fault, "the body has 2 content codings; only one is supported");
  ContentDecoder decoder;  // in two headers
  decoder.announce("gzip");
  decoder.announce("gzip");
  std::string body;
  EXPECT_EQ(decoder.take(twice, body, kMaxBody), Result::broken);
  EXPECT_EQ(body, "");
}

TEST(ContentDecoderTest, RejectsUnsupportedCompression) {
  for (const std::string coding :
       {"br", "zstd", "compress", "x-compress", "dcb", "dcz", "xz", "bzip2"}) {
    EXPECT_EQ(decode(coding, "hello").fault,
              "the content coding '" + coding + "' is not supported");
    EXPECT_EQ(decode("none, " + coding, "hello").result, Result::broken);
  }
  EXPECT_EQ(decode("br, utf-8, gzip", "hello").fault,
            "the body has 2 content codings; only one is supported");
}

TEST(ContentDecoderTest, LimitsTheDecodedSize) {
  const std::string bomb = test::gzip(std::string(std::size_t{64} << 20, '\0'));
  const Decoded decoded = decode("gzip", bomb, kMaxBody, bomb.size());
  EXPECT_EQ(decoded.result, Result::too_large);
  EXPECT_LE(decoded.body.size(), kMaxBody);
  const std::string text(1000, 'x');
  EXPECT_EQ(decode("gzip", test::gzip(text), 1000).result, Result::good);
  EXPECT_EQ(decode("gzip", test::gzip(text), 999).result, Result::too_large);
  EXPECT_EQ(decode("", text, 999).result, Result::too_large);
}

TEST(ContentDecoderTest, ReportsInvalidBodies) {
  const std::string good = test::gzip("hello");
  EXPECT_EQ(decode("gzip", good.substr(0, good.size() - 1)).fault,
            "the compressed body is truncated");
  EXPECT_EQ(decode("gzip", good + "x").fault, "unexpected bytes follow the compressed body");
  EXPECT_EQ(decode("gzip", "hello").fault,
            "the compressed body is invalid: incorrect header check");
}

}  // namespace
}  // namespace vitalsd::net
