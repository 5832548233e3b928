// Builds an HttpResponse from the header lines and body pieces that libcurl delivers, within
// limits. Probe loop only.
#pragma once

#include "probes/net/content_decoder.hpp"
#include "probes/net/curl_multi.hpp"
#include "probes/net/http_client.hpp"

#include <cstddef>
#include <exception>
#include <string>
#include <string_view>

#include <curl/curl.h>

namespace vitalsd::net {

class HttpResponseReader {
 public:
  /// The arguments must outlive the object.
  HttpResponseReader(const HttpRequest& request, CURL* easy, CurlMulti& multi)
      : request_(request), easy_(easy), multi_(multi) {}
  HttpResponseReader(const HttpResponseReader&) = delete;
  HttpResponseReader& operator=(const HttpResponseReader&) = delete;

  /// Registers the callbacks with the handle, which must not be reset afterwards.
  void attach();

  /// Sets the text of the ProbeError(protocol) that throw_error() throws. Returns false.
  bool fail(std::string error);
  /// Throws the exception of a callback, or otherwise the error of fail(). Returns if there is
  /// neither.
  void throw_error() const;
  /// Whether on_data ended the transfer.
  [[nodiscard]] bool ended_by_consumer() const { return ended_by_consumer_; }
  /// Returns the response without status, version and phases. Must be called after the transfer has
  /// succeeded. Throws ProbeError(protocol) if the response is truncated.
  HttpResponse finish();

 private:
  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);

  std::size_t guard(std::string_view bytes, bool (HttpResponseReader::*take)(std::string_view));
  bool take_body(std::string_view bytes);
  bool take_streamed(std::string_view bytes);
  bool take_header(std::string_view line);
  bool start_headers();
  bool end_headers();
  bool take_framing(std::string_view header, std::string_view value);
  bool fail_as_too_large();
  [[nodiscard]] bool is_stream() const;

  const HttpRequest& request_;
  CURL* easy_;
  CurlMulti& multi_;
  HttpResponse response_;
  ContentDecoder decoder_;
  std::size_t header_bytes_ = 0;
  std::size_t body_bytes_ = 0;     // before decoding
  std::size_t decoded_bytes_ = 0;  // of a stream
  std::exception_ptr exception_;   // thrown in a callback
  std::string error_;              // of fail()
  bool has_headers_ = false;       // all headers have been received
  bool ended_by_consumer_ = false;
};

}  // namespace vitalsd::net
