// One HTTP request on its way: what libcurl is told of it, and what comes back. Probe loop only.
#pragma once

#include "probes/net/content_decoder.hpp"
#include "probes/net/curl_multi.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/tls.hpp"

#include <cstddef>
#include <cstdint>
#include <exception>
#include <memory>
#include <string>
#include <string_view>

#include <curl/curl.h>
#include <openssl/types.h>

namespace vitalsd::net {

/// An easy handle with a DNS cache of its own: a cache for all would hold every host, and libcurl
/// looks through the whole of it after each transfer.
struct CurlHandle {
  CURL* easy = curl_easy_init();
  CURLSH* share = curl_share_init();
  std::string resolved;  ///< "host:port" of the entry in its cache

  CurlHandle() { curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS); }
  ~CurlHandle() {
    curl_easy_cleanup(easy);
    curl_share_cleanup(share);
  }
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;
};

class HttpTransfer {
 public:
  /// All of them must live as long as the transfer.
  HttpTransfer(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi, TlsContexts& tls);
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  /// Tells libcurl all of the request, whose host has these addresses. Throws ProbeError(config).
  void prepare(const Addresses& addresses);
  asio::awaitable<CURLcode> run() { return multi_.run(transfer_); }
  /// The response, once run() has ended with `code`. Throws ProbeError where there is none.
  HttpResponse take(CURLcode code, double resolve_seconds);

 private:
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  using List = std::unique_ptr<curl_slist, FreeList>;

  static std::size_t on_body(char* data, std::size_t size, std::size_t count, void* self);
  static std::size_t on_header(char* data, std::size_t size, std::size_t count, void* self);
  static CURLcode on_ssl_context(CURL* easy, void* context, void* self);
  static void append(List& list, const std::string& line);

  void set_basics();
  void set_destination(const Addresses& addresses);
  void set_headers();
  void set_method();
  void set_credentials();
  void set_tls();

  std::size_t take(std::string_view bytes, bool (HttpTransfer::*how)(std::string_view));
  bool take_body(std::string_view bytes);
  bool take_header(std::string_view line);
  bool begin_head();
  bool end_head();
  bool take_framing(std::string_view header, std::string_view value);
  bool fail(std::string fault);
  bool fail_as_too_large();
  [[nodiscard]] bool streams() const;
  [[nodiscard]] bool renamed() const;
  [[nodiscard]] const std::string& asked_name() const;
  void read_phases(double resolve_seconds);

  template <class T>
  void set(CURLoption option, T value) {
    curl_easy_setopt(handle_.easy, option, value);
  }

  const HttpRequest& request_;
  CurlHandle& handle_;
  CurlMulti& multi_;
  TlsContexts& tls_;
  CurlMulti::Transfer transfer_;
  HttpResponse response_;
  List headers_;
  List resolve_;
  List connect_to_;
  std::size_t header_bytes_ = 0;
  std::size_t body_bytes_ = 0;  // as they came
  ContentDecoder decoder_;
  std::shared_ptr<X509_STORE> store_;
  std::exception_ptr thrown_;         // by one of our callbacks
  std::string fault_;                 // why we ended the transfer; empty: we did not
  bool has_head_ = false;             // all of the headers
  bool ended_ = false;                // by on_data
  char error_[CURL_ERROR_SIZE] = {};  // NOLINT(modernize-avoid-c-arrays): libcurl's own form
};

}  // namespace vitalsd::net
