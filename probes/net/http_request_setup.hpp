// Sets the options of a libcurl handle for one HTTP request. Probe loop only.
#pragma once

#include "probes/net/curl_handle.hpp"
#include "probes/net/curl_multi.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/http_proxy.hpp"

#include <chrono>
#include <memory>
#include <string>

#include <boost/asio/ip/address.hpp>
#include <curl/curl.h>
#include <openssl/types.h>

namespace vitalsd::net {

/// Owns the lists that the handle refers to, so it must outlive the transfer.
class HttpRequestSetup {
 public:
  /// All arguments must outlive the object. `tls` is the context of request.tls, null for HTTP.
  HttpRequestSetup(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi, SSL_CTX* tls,
                   RequestStage& stage)
      : request_(request), handle_(handle), multi_(multi), tls_(tls), stage_(stage) {}
  HttpRequestSetup(const HttpRequestSetup&) = delete;
  HttpRequestSetup& operator=(const HttpRequestSetup&) = delete;

  /// Resets the handle and sets all options except the callbacks for the response. `address` is one
  /// of the request's host. `limit` is the time limit of the transfer; 0 means none. Throws
  /// ProbeError(config).
  void apply(const asio::ip::address& address, std::chrono::milliseconds limit);

 private:
  struct FreeList {
    void operator()(curl_slist* list) const { curl_slist_free_all(list); }
  };
  using List = std::unique_ptr<curl_slist, FreeList>;

  static CURLcode on_ssl_context(CURL* easy, void* context, void* self);
  static int on_request(void* self, char* address, char* local_address, int port,
                        int local_port) noexcept;
  static void append(List& list, const std::string& line);

  void set_basics(std::chrono::milliseconds limit);
  void set_destination(const asio::ip::address& address);
  void set_proxy(const asio::ip::address& address);
  void cache(const std::string& entry, const asio::ip::address& address);
  void set_headers();
  void set_method();
  void set_credentials();
  void set_tls();
  [[nodiscard]] bool has_other_server_name() const;
  [[nodiscard]] const std::string& url_host() const;

  template <class T>
  void set(CURLoption option, T value) {
    curl_easy_setopt(handle_.easy, option, value);
  }

  const HttpRequest& request_;
  CurlHandle& handle_;
  CurlMulti& multi_;
  SSL_CTX* tls_;
  RequestStage& stage_;
  List headers_;
  List resolve_;
  List connect_to_;
};

}  // namespace vitalsd::net
