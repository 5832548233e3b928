#include "probes/backup/gzip_check.hpp"

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include <fcntl.h>
#include <unistd.h>
#include <zlib.h>

namespace vitalsd {

struct GzipCheck::Stream {
  int file = -1;
  z_stream z{};
  bool is_between_members = true;  // a gzip file may have several members
  std::array<Bytef, 64 * 1024> in;
  std::array<Bytef, 128 * 1024> out;
};

GzipCheck::GzipCheck(std::string path)
    : path_(std::move(path)), stream_(std::make_unique<Stream>()) {
  stream_->file = open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (stream_->file < 0) {
    end(State::broken, std::strerror(errno));
    return;
  }
  constexpr int kGzipOnly = 15 + 16;
  inflateInit2(&stream_->z, kGzipOnly);
}

GzipCheck::~GzipCheck() {
  inflateEnd(&stream_->z);
  if (stream_->file >= 0) close(stream_->file);
}

void GzipCheck::end(State state, std::string fault) {
  state_ = state;
  fault_ = std::move(fault);
}

void GzipCheck::read_piece() {
  Stream& s = *stream_;
  const ssize_t size = read(s.file, s.in.data(), s.in.size());
  if (size < 0) {
    end(State::broken, std::strerror(errno));
    return;
  }
  if (size == 0) {
    if (position_ == 0)
      end(State::broken, "is empty");
    else if (s.is_between_members)
      end(State::valid, "");
    else
      end(State::broken, "is truncated");
    return;
  }
  position_ += static_cast<std::uint64_t>(size);
  s.z.next_in = s.in.data();
  s.z.avail_in = static_cast<uInt>(size);
  while (s.z.avail_in > 0) {
    if (s.is_between_members) {
      // Like gzip, accepts zeros after the last member, because tapes add zeros as padding.
      if (*s.z.next_in == 0 && s.z.total_out + s.z.total_in > 0) {
        ++s.z.next_in;
        --s.z.avail_in;
        continue;
      }
      inflateReset(&s.z);
      s.is_between_members = false;
    }
    s.z.next_out = s.out.data();
    s.z.avail_out = static_cast<uInt>(s.out.size());
    const int result = inflate(&s.z, Z_NO_FLUSH);
    if (result == Z_STREAM_END) {
      s.is_between_members = true;
    } else if (result != Z_OK && result != Z_BUF_ERROR) {
      end(State::broken, std::string("is damaged: ") + (s.z.msg == nullptr ? "not gzip" : s.z.msg));
      return;
    }
  }
}

}  // namespace vitalsd
