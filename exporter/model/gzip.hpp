// Compresses text in pieces to gzip (RFC 1952), with zlib.
#pragma once

#include <memory>
#include <string>
#include <string_view>

namespace vitalsd {

/// Compresses at level 1, because speed matters more than size: a scrape is read once, on the same
/// host or network.
class GzipWriter {
 public:
  GzipWriter();
  ~GzipWriter();
  GzipWriter(const GzipWriter&) = delete;
  GzipWriter& operator=(const GzipWriter&) = delete;

  void write(std::string_view piece);
  /// Ends the stream and returns all of it. write() must not be called afterwards.
  std::string finish();

 private:
  struct Stream;
  void run(int flush);

  std::unique_ptr<Stream> stream_;
  std::string out_;
};

}  // namespace vitalsd
