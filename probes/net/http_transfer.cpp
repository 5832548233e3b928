#include "probes/net/http_transfer.hpp"

#include "probes/net/curl_error.hpp"
#include "probes/net/tcp.hpp"

#include <algorithm>

#include <sys/socket.h>

namespace vitalsd::net {

namespace {

// libcurl reads the response to CONNECT byte by byte, without a limit, and calls this for each.
int on_progress(void* calls, curl_off_t /*size*/, curl_off_t received, curl_off_t /*to_send*/,
                curl_off_t /*sent*/) {
  constexpr int kMaxCalls = 16 * 1024;
  return received == 0 && ++*static_cast<int*>(calls) > kMaxCalls ? 1 : 0;
}

// libcurl reports a response that does not start with "HTTP/" as an unsupported protocol.
bool is_other_protocol(CURLcode code) {
  return code == CURLE_UNSUPPORTED_PROTOCOL || code == CURLE_WEIRD_SERVER_REPLY;
}

}  // namespace

HttpTransfer::HttpTransfer(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi,
                           SSL_CTX* tls, RequestStage& stage)
    : request_(request),
      handle_(handle),
      multi_(multi),
      transfer_{.easy = handle.easy, .stream = static_cast<bool>(request.on_data)},
      setup_(request, handle, multi, tls, stage),
      reader_(request, handle.easy, multi) {}

void HttpTransfer::prepare(const asio::ip::address& address, std::chrono::milliseconds limit) {
  setup_.apply(address, limit);
  reader_.attach();
  curl_easy_setopt(handle_.easy, CURLOPT_ERRORBUFFER, static_cast<char*>(error_));
  if (!request_.proxy) return;
  curl_easy_setopt(handle_.easy, CURLOPT_XFERINFOFUNCTION, &on_progress);
  curl_easy_setopt(handle_.easy, CURLOPT_XFERINFODATA, &proxy_bytes_);
  curl_easy_setopt(handle_.easy, CURLOPT_NOPROGRESS, 0L);
}

void HttpTransfer::limit_connecting(TimerWheel& wheel, std::chrono::milliseconds limit) {
  connect_limit_ = limit;
  curl_easy_setopt(handle_.easy, CURLOPT_SOCKOPTFUNCTION, &HttpTransfer::on_new_socket);
  curl_easy_setopt(handle_.easy, CURLOPT_SOCKOPTDATA, this);
  wheel.arm_after(connecting_, limit);
}

// Not called for a connection that is reused.
int HttpTransfer::on_new_socket(void* self, curl_socket_t socket,
                                curlsocktype /*purpose*/) noexcept {
  static_cast<HttpTransfer*>(self)->socket_ = socket;
  return CURL_SOCKOPT_OK;
}

// libcurl's own connect limit would include the TLS handshake.
void HttpTransfer::check_connected() {
  if (socket_ == CURL_SOCKET_BAD) return;
  sockaddr_storage peer{};
  socklen_t size = sizeof peer;
  const bool connected = getpeername(socket_, reinterpret_cast<sockaddr*>(&peer), &size) == 0;
  if (connected) return;
  has_not_connected_ = true;
  transfer_.pending->succeed(CURLE_COULDNT_CONNECT);
}

// Whether the peer of a request without TLS has not answered in HTTP, as a server that expects TLS
// does.
bool HttpTransfer::is_no_http(CURLcode code) const {
  long status = 0;
  curl_easy_getinfo(handle_.easy, CURLINFO_RESPONSE_CODE, &status);
  return (code == CURLE_GOT_NOTHING || code == CURLE_RECV_ERROR || is_other_protocol(code)) &&
         status == 0 && request_.url.scheme == "http";
}

// The failure of a proxy that has not answered as HTTP proxies do. A proxy answers for a target
// that closes the connection or does not serve HTTP. `text` is the one of libcurl.
std::string HttpTransfer::proxy_fault(CURLcode code, std::string_view text) const {
  if (!request_.proxy) return "";
  if (is_no_http(code)) {
    if (is_other_protocol(code)) return "the response is not HTTP";
    return code == CURLE_GOT_NOTHING ? "the connection was closed without a response"
                                     : std::string(text);
  }
  if (text == "Proxy CONNECT aborted") {
    return "the connection was closed before the response to CONNECT was complete";
  }
  return text == "CONNECT tunnel failed, response 0" ? "the response to CONNECT is not HTTP/1" : "";
}

ProbeError HttpTransfer::error_of(CURLcode code) const {
  long proxy_status = 0;  // of CONNECT
  curl_easy_getinfo(handle_.easy, CURLINFO_HTTP_CONNECTCODE, &proxy_status);
  if (request_.proxy && proxy_status >= 300) return proxy_refusal(*request_.proxy, proxy_status);
  if (code == CURLE_ABORTED_BY_CALLBACK) {
    return proxy_failure(*request_.proxy,
                         {Reason::protocol, "the response to CONNECT is too long"});
  }
  if (has_not_connected_) {
    return {Reason::timeout, request_.peer().text() + ": no connection within " +
                                 std::to_string(connect_limit_.count()) + " ms"};
  }
  long os_error = 0;
  curl_easy_getinfo(handle_.easy, CURLINFO_OS_ERRNO, &os_error);
  std::string text = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
  const std::string fault = proxy_fault(code, text);
  if (!fault.empty()) return proxy_failure(*request_.proxy, {Reason::protocol, fault});
  if (is_no_http(code)) text += ": if this port is for HTTPS, use https://";
  return curl_error(code, static_cast<int>(os_error), text, request_.peer());
}

HttpResponse HttpTransfer::finish(CURLcode code, const HttpPhases& before) {
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
  if (request_.proxy && status == kProxyAuthenticationRequired)
    throw proxy_refusal(*request_.proxy, status);
  response.status = static_cast<int>(status);
  response.version = version == CURL_HTTP_VERSION_1_0 ? 1.0
                     : version == CURL_HTTP_VERSION_2 ? 2.0
                                                      : 1.1;
  response.phases = phases(before);
  return response;
}

HttpPhases HttpTransfer::phases(const HttpPhases& before) const {
  const auto microseconds = [this](CURLINFO info) {
    curl_off_t value = 0;
    curl_easy_getinfo(handle_.easy, info, &value);
    return value;
  };
  const auto seconds = [](curl_off_t from, curl_off_t to) {
    return static_cast<double>(to - from) / 1e6;
  };
  // libcurl measures each phase from the start of the transfer. A phase that did not take place is
  // 0.
  const curl_off_t resolved = microseconds(CURLINFO_NAMELOOKUP_TIME_T);
  const curl_off_t connected = std::max(microseconds(CURLINFO_CONNECT_TIME_T), resolved);
  const curl_off_t secured = std::max(microseconds(CURLINFO_APPCONNECT_TIME_T), connected);
  const curl_off_t first_byte = std::max(microseconds(CURLINFO_STARTTRANSFER_TIME_T), secured);
  const curl_off_t total = std::max(microseconds(CURLINFO_TOTAL_TIME_T), first_byte);
  return {
      .resolve = before.resolve,
      .connect = before.connect + seconds(resolved, connected),
      .tls = seconds(connected, secured),
      .processing = seconds(secured, first_byte),
      .transfer = seconds(first_byte, total),
  };
}

}  // namespace vitalsd::net
