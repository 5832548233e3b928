// Undoes the content coding of an answer piece by piece, within limits. libcurl would undo as many
// codings as a server names, one upon the other, and tell of the last output only: a few kilobytes
// keep it busy for minutes.
#pragma once

#include <cstddef>
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

  /// The value of a Content-Encoding header. A second header adds to the first one. What is no
  /// known coding counts as none.
  void announce(std::string_view codings);
  /// Forgets what was announced: another head comes.
  void reset();
  /// Whether anything has to be undone.
  [[nodiscard]] bool encoded() const { return !codings_.empty(); }

  enum class Result : unsigned char { good, too_large, broken };
  /// Appends what `bytes` say to `body`, which never gets larger than `max_body`.
  Result take(std::string_view bytes, std::string& body, std::size_t max_body);
  /// The end of the body.
  Result finish();
  /// What is broken.
  [[nodiscard]] const std::string& fault() const { return fault_; }

 private:
  struct Stream;
  Result begin(unsigned char first);
  Result inflate_piece(std::string& body, std::size_t max_body);
  Result broken(std::string fault);

  std::vector<std::string> codings_;  // in lower case, without what is no known coding
  std::unique_ptr<Stream> stream_;    // from the first byte on
  std::string fault_;
};

}  // namespace vitalsd::net
