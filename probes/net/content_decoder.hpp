// Decodes the content coding of a response piece by piece, within limits. libcurl would decode any
// number of nested codings and pass on only the last output, so a few kilobytes could keep it busy
// for minutes.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd::net {

class ContentDecoder {
 public:
  ContentDecoder();
  ~ContentDecoder();
  ContentDecoder(const ContentDecoder&) = delete;
  ContentDecoder& operator=(const ContentDecoder&) = delete;

  /// Adds the codings in the value of a Content-Encoding header. Unknown codings are ignored.
  void announce(std::string_view codings);
  /// Removes all codings, because new headers follow.
  void reset();
  /// Whether the body has a known coding.
  [[nodiscard]] bool encoded() const { return !codings_.empty(); }

  enum class Result : unsigned char { good, too_large, broken };
  /// Decodes `bytes` and appends the result to `body`, which never exceeds `max_body` bytes.
  Result take(std::string_view bytes, std::string& body, std::size_t max_body);
  /// Receives decoded bytes. Returns false to stop.
  using Sink = std::function<bool(std::string_view)>;
  /// Decodes `bytes` and passes the result to `sink`, at most 16 KiB at a time. Returns `too_large`
  /// if `sink` stopped the decoding.
  Result take(std::string_view bytes, const Sink& sink);
  /// Must be called at the end of the body. Returns `broken` if the body is truncated.
  Result finish();
  /// The error text after Result::broken.
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  struct Stream;
  Result start(unsigned char first);
  Result inflate_all(const Sink& sink);
  Result broken(std::string fault);

  std::vector<std::string> codings_;  // the known ones, in lower case
  std::unique_ptr<Stream> stream_;    // null before the first byte
  std::string fault_;
};

}  // namespace vitalsd::net
