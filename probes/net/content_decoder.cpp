#include "probes/net/content_decoder.hpp"

#include "config/scalar.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <utility>

#include <zlib.h>

namespace vitalsd::net {

namespace {

// Codings that change the body. If one of them is not supported, the body cannot be used. The list
// contains IANA's registry, and unregistered compressions that are in use.
constexpr std::array<std::string_view, 17> kCodings = {
    "gzip", "x-gzip", "deflate", "br",           "zstd",  "compress", "x-compress", "dcb", "dcz",
    "exi",  "xz",     "lzma",    "pack200-gzip", "bzip2", "x-bzip2",  "aes128gcm",  "lz4",
};

}  // namespace

struct ContentDecoder::Stream {
  explicit Stream(int window) { inflateInit2(&z, window); }
  ~Stream() { inflateEnd(&z); }
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  z_stream z{};
  bool ended = false;
};

ContentDecoder::ContentDecoder() = default;
ContentDecoder::~ContentDecoder() = default;

void ContentDecoder::announce(std::string_view codings) {
  std::string coding;
  const auto add = [&] {
    // Some servers send other values here ("utf-8", "none", "aws-chunked"). They are ignored, as
    // browsers do.
    if (std::ranges::find(kCodings, coding) != kCodings.end()) codings_.push_back(coding);
    coding.clear();
  };
  for (const unsigned char c : codings) {
    if (c == ',') {
      add();
    } else if (c != ' ' && c != '\t') {
      coding += static_cast<char>(std::tolower(c));
    }
  }
  add();
}

void ContentDecoder::reset() { codings_.clear(); }

ContentDecoder::Result ContentDecoder::broken(std::string fault) {
  fault_ = std::move(fault);
  return Result::broken;
}

ContentDecoder::Result ContentDecoder::start(unsigned char first) {
  constexpr int kWindow = 15;
  if (codings_.size() > 1) {
    return broken("the body has " + std::to_string(codings_.size()) +
                  " content codings; only one is supported");
  }
  const std::string& coding = codings_.front();
  if (coding == "gzip" || coding == "x-gzip") {
    constexpr int kGzip = 16;
    stream_ = std::make_unique<Stream>(kWindow + kGzip);
  } else if (coding == "deflate") {
    // The standard requires zlib's format, which starts with the method, 8. Many servers send a raw
    // deflate stream.
    constexpr unsigned kMethodBits = 15;
    stream_ = std::make_unique<Stream>((first & kMethodBits) == Z_DEFLATED ? kWindow : -kWindow);
  } else {
    return broken("the content coding " + config::quoted(coding) + " is not supported");
  }
  return Result::good;
}

ContentDecoder::Result ContentDecoder::take(std::string_view bytes, std::string& body,
                                            std::size_t max_body) {
  return take(bytes, [&](std::string_view piece) {
    if (piece.size() > max_body - body.size()) return false;
    body += piece;
    return true;
  });
}

ContentDecoder::Result ContentDecoder::take(std::string_view bytes, const Sink& sink) {
  if (bytes.empty()) return Result::good;
  if (!encoded()) return sink(bytes) ? Result::good : Result::too_large;
  if (!stream_) {
    if (const Result result = start(static_cast<unsigned char>(bytes.front()));
        result != Result::good) {
      return result;
    }
  }
  z_stream& z = stream_->z;
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(bytes.data()));
  z.avail_in = static_cast<uInt>(bytes.size());
  return inflate_all(sink);
}

ContentDecoder::Result ContentDecoder::inflate_all(const Sink& sink) {
  z_stream& z = stream_->z;
  std::array<char, std::size_t{16} << 10> piece{};
  do {
    if (stream_->ended) return broken("unexpected bytes follow the compressed body");
    z.next_out = reinterpret_cast<Bytef*>(piece.data());
    z.avail_out = static_cast<uInt>(piece.size());
    const int result = inflate(&z, Z_NO_FLUSH);
    const std::size_t size = piece.size() - z.avail_out;
    if (size > 0 && !sink({piece.data(), size})) return Result::too_large;
    if (result == Z_BUF_ERROR) break;  // more input is required
    if (result != Z_OK && result != Z_STREAM_END) {
      return broken(std::string("the compressed body is invalid") +
                    (z.msg == nullptr ? "" : std::string(": ") + z.msg));
    }
    stream_->ended = result == Z_STREAM_END;
  } while (z.avail_in > 0 || (z.avail_out == 0 && !stream_->ended));
  return Result::good;
}

ContentDecoder::Result ContentDecoder::finish() {
  if (stream_ && !stream_->ended) return broken("the compressed body is truncated");
  return Result::good;
}

}  // namespace vitalsd::net
