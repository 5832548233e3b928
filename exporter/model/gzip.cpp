#include "exporter/model/gzip.hpp"

#include <array>
#include <new>
#include <utility>

#include <zlib.h>

namespace vitalsd {

struct GzipWriter::Stream {
  z_stream z{};
  std::array<Bytef, 32 * 1024> buffer;
};

GzipWriter::GzipWriter() : stream_(std::make_unique<Stream>()) {
  constexpr int kGzipWindow = 15 + 16;  // 15: the largest window; 16: gzip headers
  constexpr int kMemory = 8;
  if (deflateInit2(&stream_->z, Z_BEST_SPEED, Z_DEFLATED, kGzipWindow, kMemory,
                   Z_DEFAULT_STRATEGY) != Z_OK) {
    throw std::bad_alloc();  // the only possible error with these arguments
  }
}

GzipWriter::~GzipWriter() { deflateEnd(&stream_->z); }

void GzipWriter::run(int flush) {
  z_stream& z = stream_->z;
  auto& buffer = stream_->buffer;
  do {
    z.next_out = buffer.data();
    z.avail_out = static_cast<uInt>(buffer.size());
    deflate(&z, flush);
    out_.append(reinterpret_cast<const char*>(buffer.data()), buffer.size() - z.avail_out);
  } while (z.avail_out == 0);
}

void GzipWriter::write(std::string_view piece) {
  z_stream& z = stream_->z;
  // zlib does not write through next_in, but its type is not const.
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(piece.data()));
  z.avail_in = static_cast<uInt>(piece.size());
  run(Z_NO_FLUSH);
}

std::string GzipWriter::finish() {
  run(Z_FINISH);
  return std::move(out_);
}

}  // namespace vitalsd
