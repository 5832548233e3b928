// The transfer of one HTTP request and its response with libcurl. Probe loop only.
#pragma once

#include "probes/error.hpp"
#include "probes/net/curl_handle.hpp"
#include "probes/net/curl_multi.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_request_setup.hpp"
#include "probes/net/http_response_reader.hpp"
#include "probes/net/resolver.hpp"

#include <boost/asio/awaitable.hpp>
#include <curl/curl.h>
#include <openssl/types.h>

namespace vitalsd::net {

class HttpTransfer {
 public:
  /// All arguments must outlive the object. `tls` is as for HttpRequestSetup.
  HttpTransfer(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi, SSL_CTX* tls);
  HttpTransfer(const HttpTransfer&) = delete;
  HttpTransfer& operator=(const HttpTransfer&) = delete;

  /// Sets up the handle. `addresses` are those of the request's host.
  void prepare(const Addresses& addresses);
  asio::awaitable<CURLcode> run() { return multi_.run(transfer_); }
  /// The response after run() has returned `code`. Throws ProbeError if the transfer failed.
  HttpResponse finish(CURLcode code, double resolve_seconds);

 private:
  [[nodiscard]] HttpPhases phases(double resolve_seconds) const;
  [[nodiscard]] ProbeError error_of(CURLcode code) const;

  const HttpRequest& request_;
  CurlHandle& handle_;
  CurlMulti& multi_;
  CurlMulti::Transfer transfer_;
  HttpRequestSetup setup_;
  HttpResponseReader reader_;
  char error_[CURL_ERROR_SIZE] = {};  // NOLINT(modernize-avoid-c-arrays): libcurl's form
};

}  // namespace vitalsd::net
