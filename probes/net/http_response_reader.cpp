#include "probes/net/http_response_reader.hpp"

#include "probes/error.hpp"
#include "probes/net/certificate_info.hpp"

#include <charconv>
#include <cstdint>
#include <system_error>
#include <utility>

#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace vitalsd::net {
namespace {

constexpr std::size_t kMaxHeaderBytes = 64 * 1024;

bool is_length(std::string_view text) {
  std::int64_t length = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), length);
  return error == std::errc() && end == text.data() + text.size() && length >= 0;
}

std::string_view trimmed(std::string_view text) {
  while (text.starts_with(' ') || text.starts_with('\t')) text.remove_prefix(1);
  while (text.ends_with(' ') || text.ends_with('\t')) text.remove_suffix(1);
  return text;
}

}  // namespace

void HttpResponseReader::attach() {
  curl_easy_setopt(easy_, CURLOPT_WRITEFUNCTION, &HttpResponseReader::on_body);
  curl_easy_setopt(easy_, CURLOPT_WRITEDATA, this);
  curl_easy_setopt(easy_, CURLOPT_HEADERFUNCTION, &HttpResponseReader::on_header);
  curl_easy_setopt(easy_, CURLOPT_HEADERDATA, this);
}

// Whether the body is passed to on_data.
bool HttpResponseReader::is_stream() const {
  constexpr long kFirst = 200;
  constexpr long kLast = 299;
  if (!request_.on_data) return false;
  long status = 0;
  curl_easy_getinfo(easy_, CURLINFO_RESPONSE_CODE, &status);
  return status >= kFirst && status <= kLast;
}

// Returns the number of bytes consumed; libcurl ends the transfer if that is not all of them. No
// exception may pass through libcurl's frames.
std::size_t HttpResponseReader::guard(std::string_view bytes,
                                      bool (HttpResponseReader::*take)(std::string_view)) {
  try {
    return (this->*take)(bytes) ? bytes.size() : 0;
  } catch (...) {  // throw_error() throws it when the transfer has ended
    exception_ = std::current_exception();
    return 0;
  }
}

std::size_t HttpResponseReader::on_body(char* data, std::size_t size, std::size_t count,
                                        void* self) {
  return static_cast<HttpResponseReader*>(self)->guard({data, size * count},
                                                       &HttpResponseReader::take_body);
}

bool HttpResponseReader::take_body(std::string_view bytes) {
  multi_.took_body(bytes.size());
  body_bytes_ += bytes.size();
  if (is_stream()) return take_streamed(bytes);
  if (body_bytes_ > request_.max_body) return fail_as_too_large();
  switch (decoder_.take(bytes, response_.body, request_.max_body)) {
    case ContentDecoder::Result::good:
      return true;
    case ContentDecoder::Result::too_large:
      return fail_as_too_large();
    case ContentDecoder::Result::broken:
      break;
  }
  return fail(decoder_.fault());
}

bool HttpResponseReader::take_streamed(std::string_view bytes) {
  // Text has a compression ratio of 10:1 to 50:1. A higher ratio than this is an attack that would
  // keep the loop busy.
  constexpr std::size_t kMaxRatio = 200;
  constexpr std::size_t kMinSize = std::size_t{4} << 20;
  bool is_bomb = false;
  multi_.streamed(bytes.size());
  const auto result = decoder_.take(bytes, [&](std::string_view piece) {
    decoded_bytes_ += piece.size();
    is_bomb = decoded_bytes_ > kMinSize && decoded_bytes_ / kMaxRatio > body_bytes_;
    if (is_bomb) return false;
    ended_by_consumer_ = !request_.on_data(piece);
    return !ended_by_consumer_;
  });
  if (is_bomb) {
    return fail("the response is compressed more than " + std::to_string(kMaxRatio) + ":1");
  }
  if (result == ContentDecoder::Result::broken) return fail(decoder_.fault());
  return result == ContentDecoder::Result::good;
}

bool HttpResponseReader::fail(std::string error) {
  error_ = std::move(error);
  return false;
}

bool HttpResponseReader::fail_as_too_large() {
  return fail("the response is larger than " + std::to_string(request_.max_body) + " bytes");
}

std::size_t HttpResponseReader::on_header(char* data, std::size_t size, std::size_t count,
                                          void* self) {
  return static_cast<HttpResponseReader*>(self)->guard({data, size * count},
                                                       &HttpResponseReader::take_header);
}

bool HttpResponseReader::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    return fail("the headers are larger than " + std::to_string(kMaxHeaderBytes) + " bytes");
  }
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) return start_headers();
  if (line.empty()) return end_headers();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  const auto& [name, value] =
      response_.headers.emplace_back(line.substr(0, colon), trimmed(line.substr(colon + 1)));
  return has_headers_ || take_framing(name, value);  // trailers do not describe the body
}

// Headers that describe how the body is encoded.
bool HttpResponseReader::take_framing(std::string_view header, std::string_view value) {
  if (same_header(header, "Content-Encoding")) decoder_.announce(value);
  // libcurl ignores a length that is too large for its type.
  if (same_header(header, "Content-Length") && !is_length(value)) {
    return fail("the Content-Length " + config::quoted(value) + " is invalid");
  }
  // libcurl decodes transfer codings even if that was not requested.
  if (same_header(header, "Transfer-Encoding") && !same_header(value, "chunked") &&
      !same_header(value, "identity")) {
    return fail("the transfer coding " + config::quoted(value) + " is not supported");
  }
  return true;
}

// Called again after a "100 Continue".
bool HttpResponseReader::start_headers() {
  response_.headers.clear();
  decoder_.reset();
  has_headers_ = false;
  if (request_.url.scheme != "https" || response_.certificate_expiry) return true;
  curl_tlssessioninfo* info = nullptr;
  curl_easy_getinfo(easy_, CURLINFO_TLS_SSL_PTR, &info);
  if (info != nullptr && info->internals != nullptr) {
    const auto* tls = static_cast<SSL*>(info->internals);
    response_.certificate_expiry = earliest_expiry(SSL_get_peer_cert_chain(tls));
    STACK_OF(X509)* const chain = SSL_get0_verified_chain(tls);
    if (request_.tls.verify && SSL_get_verify_result(tls) == X509_V_OK && chain != nullptr) {
      response_.chain = {X509_chain_up_ref(chain),
                         [](STACK_OF(X509) * owned) { sk_X509_pop_free(owned, X509_free); }};
    }
  }
  return true;
}

bool HttpResponseReader::end_headers() {
  has_headers_ = true;
  if (!is_stream()) return true;
  if (decoder_.encoded() && !request_.accept_gzip) {
    return fail("the response is compressed, although compression was not requested");
  }
  if (request_.on_headers) request_.on_headers(response_);
  ended_by_consumer_ = !request_.on_data({});
  return !ended_by_consumer_;
}

void HttpResponseReader::throw_error() const {
  if (exception_) std::rethrow_exception(exception_);
  if (!error_.empty()) throw ProbeError(Reason::protocol, error_);
}

HttpResponse HttpResponseReader::finish() {
  // libcurl reports success if the connection ends before the headers are complete.
  if (!has_headers_) {
    throw ProbeError(Reason::protocol,
                     "the connection was closed before the headers were complete");
  }
  if (!ended_by_consumer_ && decoder_.finish() == ContentDecoder::Result::broken) {
    throw ProbeError(Reason::protocol, decoder_.fault());
  }
  return std::move(response_);
}

}  // namespace vitalsd::net
