// A reusable easy handle of libcurl.
#pragma once

#include <string>

#include <curl/curl.h>

namespace vitalsd::net {

/// An easy handle with its own DNS cache. A common cache would contain every host, and libcurl
/// searches the whole cache after each transfer.
struct CurlHandle {
  CURL* easy = curl_easy_init();
  CURLSH* share = curl_share_init();
  std::string resolved;  ///< "host:port" of the only entry in the cache

  CurlHandle() { curl_share_setopt(share, CURLSHOPT_SHARE, CURL_LOCK_DATA_DNS); }
  ~CurlHandle() {
    curl_easy_cleanup(easy);
    curl_share_cleanup(share);
  }
  CurlHandle(const CurlHandle&) = delete;
  CurlHandle& operator=(const CurlHandle&) = delete;
};

}  // namespace vitalsd::net
