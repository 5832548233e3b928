#include "exporter/model/gzip.hpp"

#include <array>
#include <random>
#include <stdexcept>
#include <string>
#include <string_view>

#include <gtest/gtest.h>
#include <zlib.h>

namespace vitalsd {
namespace {

// Decompresses one gzip member. Throws if the input is anything else.
std::string gunzip(std::string compressed) {
  z_stream stream{};
  constexpr int kGzipOnly = 15 + 16;
  if (inflateInit2(&stream, kGzipOnly) != Z_OK) throw std::runtime_error("inflateInit2");
  stream.next_in = reinterpret_cast<Bytef*>(compressed.data());
  stream.avail_in = static_cast<uInt>(compressed.size());
  std::string out;
  std::array<char, 4096> buffer{};
  int status = Z_OK;
  while (status == Z_OK) {
    stream.next_out = reinterpret_cast<Bytef*>(buffer.data());
    stream.avail_out = static_cast<uInt>(buffer.size());
    status = inflate(&stream, Z_NO_FLUSH);
    out.append(buffer.data(), buffer.size() - stream.avail_out);
  }
  const bool whole = status == Z_STREAM_END && stream.avail_in == 0;
  inflateEnd(&stream);
  if (!whole) throw std::runtime_error("not one whole gzip member");
  return out;
}

std::string noise(std::size_t size) {
  std::mt19937 random(9747);
  std::string out(size, '\0');
  for (char& c : out) c = static_cast<char>(random());
  return out;
}

TEST(GzipWriter, WritesAnEmptyStream) {
  GzipWriter gzip;
  EXPECT_EQ(gunzip(gzip.finish()), "");
}

TEST(GzipWriter, JoinsPieces) {
  GzipWriter gzip;
  for (const std::string_view piece : {"a", "", "bc", "\n"}) gzip.write(piece);
  EXPECT_EQ(gunzip(gzip.finish()), "abc\n");
}

TEST(GzipWriter, CompressesRepetitiveText) {
  std::string page;
  for (int i = 0; i < 100'000; ++i) page += "alpha{probe=\"" + std::to_string(i % 100) + "\"} 1\n";
  GzipWriter gzip;
  gzip.write(page);
  const std::string compressed = gzip.finish();
  EXPECT_LT(compressed.size(), page.size() / 20);
  EXPECT_EQ(gunzip(compressed), page);
}

TEST(GzipWriter, AcceptsIncompressibleText) {
  const std::string text = noise(1'000'000);
  GzipWriter gzip;
  for (std::size_t at = 0; at < text.size(); at += 9973) {
    gzip.write(std::string_view(text).substr(at, 9973));
  }
  EXPECT_EQ(gunzip(gzip.finish()), text);
}

}  // namespace
}  // namespace vitalsd
