// The transfer of one HTTP request and its response with libcurl. Probe loop only.
#pragma once

#include "probes/error.hpp"
#include "probes/net/curl_handle.hpp"
#include "probes/net/curl_multi.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_proxy.hpp"
#include "probes/net/http_request_setup.hpp"
#include "probes/net/http_response_reader.hpp"
#include "probes/net/timer_wheel.hpp"

#include <chrono>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/ip/address.hpp>
#include <curl/curl.h>
#include <openssl/types.h>

namespace vitalsd::net {

class HttpTransfer {
 public:
  /// All arguments must outlive the object. `tls` has the same meaning as in HttpRequestSetup.
  HttpTransfer(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi, SSL_CTX* tls,
               RequestStage& stage);
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  /// Sets up the handle for an address of the request's host. `limit` is the time limit of the
  /// transfer; 0 means none. Throws ProbeError(config).
  void prepare(const asio::ip::address& address, std::chrono::milliseconds limit);
  /// Must be called between prepare() and run(). run() then returns CURLE_COULDNT_CONNECT if a new
  /// connection is not established within `limit`.
  void limit_connecting(TimerWheel& wheel, std::chrono::milliseconds limit);
  asio::awaitable<CURLcode> run() { return multi_.run(transfer_); }
  /// Returns the response after run() has returned `code`. `before` contains the phases before
  /// run(), which are added. Throws ProbeError if the transfer failed.
  HttpResponse finish(CURLcode code, const HttpPhases& before);

 private:
  static int on_new_socket(void* self, curl_socket_t socket, curlsocktype purpose) noexcept;
  void check_connected();
  [[nodiscard]] HttpPhases phases(const HttpPhases& before) const;
  [[nodiscard]] bool is_no_http(CURLcode code) const;
  [[nodiscard]] std::string proxy_fault(CURLcode code, std::string_view text) const;
  [[nodiscard]] ProbeError error_of(CURLcode code) const;

  const HttpRequest& request_;
  CurlHandle& handle_;
  CurlMulti& multi_;
  CurlMulti::Transfer transfer_;
  HttpRequestSetup setup_;
  HttpResponseReader reader_;
  std::chrono::milliseconds connect_limit_{};  // set by limit_connecting()
  Timer connecting_{[this] { check_connected(); }};
  bool has_not_connected_ = false;
  curl_socket_t socket_ = CURL_SOCKET_BAD;  // of a new connection, if limit_connecting() was called
  int proxy_bytes_ = 0;                     // approximate size of the response to CONNECT
  char error_[CURL_ERROR_SIZE] = {};        // NOLINT(modernize-avoid-c-arrays): libcurl's form
};

}  // namespace vitalsd::net
