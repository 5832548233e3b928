#include "probes/net/http_transfer.hpp"

#include "probes/net/curl_error.hpp"

#include <algorithm>

namespace vitalsd::net {

HttpTransfer::HttpTransfer(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi,
                           SSL_CTX* tls)
    : request_(request),
      handle_(handle),
      multi_(multi),
      transfer_{.easy = handle.easy, .stream = static_cast<bool>(request.on_data)},
      setup_(request, handle, multi, tls),
      reader_(request, handle.easy, multi) {}

void HttpTransfer::prepare(const Addresses& addresses) {
  setup_.apply(addresses);
  reader_.attach();
  curl_easy_setopt(handle_.easy, CURLOPT_ERRORBUFFER, static_cast<char*>(error_));
}

ProbeError HttpTransfer::error_of(CURLcode code) const {
  long os_error = 0;
  curl_easy_getinfo(handle_.easy, CURLINFO_OS_ERRNO, &os_error);
  return curl_error(code, static_cast<int>(os_error),
                    error_[0] != '\0' ? error_ : curl_easy_strerror(code),
                    {request_.url.host, port_of(request_.url)});
}

HttpResponse HttpTransfer::finish(CURLcode code, double resolve_seconds) {
  if (transfer_.flooded) {
    reader_.fail("the server keeps sending data that is not part of the response");
  }
  reader_.throw_error();
  if (code != CURLE_OK && !reader_.ended_by_consumer()) throw error_of(code);
  HttpResponse response = reader_.finish();
  long status = 0;
  long version = 0;
  curl_easy_getinfo(handle_.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(handle_.easy, CURLINFO_HTTP_VERSION, &version);
  response.status = static_cast<int>(status);
  response.version = version == CURL_HTTP_VERSION_1_0 ? 1.0
                     : version == CURL_HTTP_VERSION_2 ? 2.0
                                                      : 1.1;
  response.phases = phases(resolve_seconds);
  return response;
}

HttpPhases HttpTransfer::phases(double resolve_seconds) const {
  const auto microseconds = [this](CURLINFO info) {
    curl_off_t value = 0;
    curl_easy_getinfo(handle_.easy, info, &value);
    return value;
  };
  const auto seconds = [](curl_off_t from, curl_off_t to) {
    return static_cast<double>(to - from) / 1e6;
  };
  // libcurl measures each from the start of the transfer; 0 if the phase did not take place.
  const curl_off_t resolved = microseconds(CURLINFO_NAMELOOKUP_TIME_T);
  const curl_off_t connected = std::max(microseconds(CURLINFO_CONNECT_TIME_T), resolved);
  const curl_off_t secured = std::max(microseconds(CURLINFO_APPCONNECT_TIME_T), connected);
  const curl_off_t first_byte = std::max(microseconds(CURLINFO_STARTTRANSFER_TIME_T), secured);
  const curl_off_t total = std::max(microseconds(CURLINFO_TOTAL_TIME_T), first_byte);
  return {
      .resolve = resolve_seconds,
      .connect = seconds(resolved, connected),
      .tls = seconds(connected, secured),
      .processing = seconds(secured, first_byte),
      .transfer = seconds(first_byte, total),
  };
}

}  // namespace vitalsd::net
