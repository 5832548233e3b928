// gzip (RFC 1952) of text that comes in pieces. zlib behind it.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace vitalsd {

/// Compresses at level 1: a scrape is read once, on the same host or network, so speed counts.
class GzipWriter {
 public:
  GzipWriter();
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  void write(std::string_view piece);
  /// The whole stream; nothing can be written afterwards.
  std::string finish();

 private:
  struct Stream;
  void run(int flush);

  std::unique_ptr<Stream> stream_;
  std::string out_;
};

}  // namespace vitalsd
