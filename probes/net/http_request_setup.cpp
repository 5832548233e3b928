#include "probes/net/http_request_setup.hpp"

#include "probes/net/connection_key.hpp"
#include "probes/net/tls.hpp"

#include <algorithm>

#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace vitalsd::net {
namespace {

constexpr const char* kUserAgent = "vitalsd";

std::string bracketed(const std::string& host) {
  return host.contains(':') ? '[' + host + ']' : host;
}

// A name for an IPv6 address in libcurl's DNS cache.
std::string dns_cache_name(std::string address) {
  std::ranges::replace(address, ':', '-');
  return "address-" + address;
}

}  // namespace

void HttpRequestSetup::append(List& list, const std::string& line) {
  list.reset(curl_slist_append(list.release(), line.c_str()));
}

void HttpRequestSetup::apply(const asio::ip::address& address, std::chrono::milliseconds limit) {
  curl_easy_reset(handle_.easy);
  set_basics(limit);
  set_destination(address);
  set_headers();
  set_method();
  set_credentials();
  if (request_.url.scheme == "https") set_tls();
}

void HttpRequestSetup::set_basics(std::chrono::milliseconds limit) {
  set(CURLOPT_SHARE, handle_.share);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");    // otherwise libcurl takes a proxy from the environment
  set(CURLOPT_NOPROXY, "");  // the same for NO_PROXY
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, kUserAgent);
  const bool http2 = request_.http2 && !request_.on_data;
  set(CURLOPT_HTTP_VERSION,
      static_cast<long>(http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // Only the run's deadline ends a connection attempt: libcurl's default connect timeout is 300 s.
  set(CURLOPT_CONNECTTIMEOUT, 86'400L);
  if (limit.count() > 0) set(CURLOPT_TIMEOUT_MS, static_cast<long>(limit.count()));
  set(CURLOPT_TCP_NODELAY, 0L);  // a request is one write, so nothing is delayed
  if (!request_.reuse_connection || request_.proxy) {
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_FORBID_REUSE, 1L);
    // Responses of health checks are short. Without TLS, libcurl fills its buffer up to 100 times
    // per call if the peer is fast, and the consumer of a stream has to parse all of it in one
    // turn.
    if (!request_.on_data || request_.url.scheme == "http") set(CURLOPT_BUFFERSIZE, 1024L);
  }
}

// libcurl uses the URL's host for SNI and verification. If the options set another name for these,
// that name replaces the host in the URL, and the original host is sent in the Host header.
bool HttpRequestSetup::has_other_server_name() const {
  return request_.url.scheme == "https" && !request_.tls.server_name.empty();
}

const std::string& HttpRequestSetup::url_host() const {
  return has_other_server_name() ? request_.tls.server_name : request_.url.host;
}

void HttpRequestSetup::set_destination(const asio::ip::address& address) {
  const std::string port = ':' + std::to_string(port_of(request_.url));
  const std::string& name = url_host();
  config::Url url = request_.url;
  url.host = name;
  set(CURLOPT_URL, url.text().c_str());
  if (request_.proxy) {
    set_proxy(address);
    return;
  }
  // libcurl identifies reusable connections by the name that they connect to.
  const bool reuse = request_.reuse_connection;
  // libcurl does not accept an IPv6 address as a name in its DNS cache.
  const bool has_colons = name.contains(':');
  const std::string cache_name = reuse        ? connection_key(request_)
                                 : has_colons ? dns_cache_name(name)
                                              : name;
  const std::string entry = cache_name + port;
  if (reuse || has_colons) {
    append(connect_to_, bracketed(name) + port + ':' + entry);
    set(CURLOPT_CONNECT_TO, connect_to_.get());
  }
  cache(entry, address);
}

// Replaces the entry of libcurl's DNS cache.
void HttpRequestSetup::cache(const std::string& entry, const asio::ip::address& address) {
  std::string& resolved = handle_.resolved;
  if (!resolved.empty()) append(resolve_, '-' + resolved);
  append(resolve_, entry + ':' + bracketed(address.to_string()));
  resolved = entry;
  set(CURLOPT_RESOLVE, resolve_.get());
}

void HttpRequestSetup::set_proxy(const asio::ip::address& address) {
  const config::Endpoint proxy = request_.peer();
  set(CURLOPT_PROXY, ("http://" + proxy.text()).c_str());
  set(CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
  set(CURLOPT_PREREQFUNCTION, &HttpRequestSetup::on_request);
  set(CURLOPT_PREREQDATA, this);
  if (!proxy.host.contains(':')) cache(proxy.text(), address);  // else it is an address
  if (!request_.proxy->user.empty()) {
    set(CURLOPT_PROXYAUTH, CURLAUTH_BASIC);
    set(CURLOPT_PROXYUSERNAME, request_.proxy->user.c_str());
    set(CURLOPT_PROXYPASSWORD, request_.proxy_password.c_str());
  }
  if (!has_other_server_name()) return;
  // The proxy must receive the host of the URL, not the name that TLS uses.
  const std::string port = ':' + std::to_string(port_of(request_.url));
  append(connect_to_, bracketed(url_host()) + port + ':' + bracketed(request_.url.host) + port);
  set(CURLOPT_CONNECT_TO, connect_to_.get());
}

void HttpRequestSetup::set_headers() {
  bool has_host = false;
  // libcurl decodes nothing, because CURLOPT_ACCEPT_ENCODING is not set. A signed request has no
  // Accept-Encoding, because the signature would cover it and proxies rewrite it.
  bool accepts_gzip = (!request_.on_data || request_.accept_gzip) && !request_.aws;
  for (const auto& [header, value] : request_.headers) {
    has_host = has_host || same_header(header, "Host");
    accepts_gzip = accepts_gzip && !same_header(header, "Accept-Encoding");
    // libcurl sends "Name;" as a header without a value.
    append(headers_, value.empty() ? header + ';' : header + ": " + value);
  }
  const config::Url& url = request_.url;
  if (has_other_server_name() && !has_host) {
    append(headers_,
           "Host: " + bracketed(url.host) + (url.port != 0 ? ':' + std::to_string(url.port) : ""));
  }
  if (accepts_gzip) append(headers_, "Accept-Encoding: gzip");
  if (!request_.body.empty()) append(headers_, "Expect:");  // do not wait for "100 Continue"
  set(CURLOPT_HTTPHEADER, headers_.get());
}

void HttpRequestSetup::set_method() {
  const std::string& method = request_.method;
  const std::string& body = request_.body;
  if (method == "HEAD") {
    set(CURLOPT_NOBODY, 1L);
  } else if (!body.empty() || method == "POST") {
    set(CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
    set(CURLOPT_POSTFIELDS, body.c_str());
    set(CURLOPT_CUSTOMREQUEST, method.c_str());
  } else if (method != "GET") {
    set(CURLOPT_CUSTOMREQUEST, method.c_str());
  }
}

void HttpRequestSetup::set_credentials() {
  if (request_.aws) {
    const std::string scope = "aws:amz:" + request_.aws_region + ":s3";
    set(CURLOPT_AWS_SIGV4, scope.c_str());
    set(CURLOPT_USERNAME, request_.aws->access_key.c_str());
    set(CURLOPT_PASSWORD, request_.aws->secret_key.c_str());
  } else if (!request_.bearer.empty()) {
    set(CURLOPT_HTTPAUTH, CURLAUTH_BEARER);
    set(CURLOPT_XOAUTH2_BEARER, request_.bearer.c_str());
  } else if (!request_.user.empty()) {
    set(CURLOPT_HTTPAUTH, CURLAUTH_BASIC);
    set(CURLOPT_USERNAME, request_.user.c_str());
    set(CURLOPT_PASSWORD, request_.password.c_str());
  }
}

void HttpRequestSetup::set_tls() {
  const TlsOptions& tls = request_.tls;
  // The CA store and the client certificate are those of tls_. libcurl would read the files for
  // each transfer.
  set(CURLOPT_CAINFO, nullptr);
  set(CURLOPT_CAPATH, nullptr);
  // libcurl caches stores by file name. These stores have no file name, so libcurl would use the
  // first one for every host. The second option prevents libcurl from modifying the shared store.
  set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
  set(CURLOPT_SSL_OPTIONS, static_cast<long>(CURLSSLOPT_NO_PARTIALCHAIN));
  set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  // The certificate of a resumed session is not verified, so an expired one would go unnoticed.
  set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
  set(CURLOPT_SSL_CTX_FUNCTION, &HttpRequestSetup::on_ssl_context);
  set(CURLOPT_SSL_CTX_DATA, this);
}

// Called when there is a connection, before the request is sent.
int HttpRequestSetup::on_request(void* self, char* /*address*/, char* /*local_address*/,
                                 int /*port*/, int /*local_port*/) noexcept {
  static_cast<HttpRequestSetup*>(self)->stage_.accepted();
  return CURL_PREREQFUNC_OK;
}

CURLcode HttpRequestSetup::on_ssl_context(CURL* /*easy*/, void* context, void* self) {
  auto& setup = *static_cast<HttpRequestSetup*>(self);
  auto* const tls = static_cast<SSL_CTX*>(context);
  setup.stage_.accepted();  // TLS with the target starts when a proxy has established the tunnel
  if (setup.request_.tls.verify) {
    SSL_CTX_set1_cert_store(tls, SSL_CTX_get_cert_store(setup.tls_));
  }
  copy_certificate(setup.tls_, tls);
  refuse_large_primes(tls);
  setup.multi_.watch_records(tls, static_cast<bool>(setup.request_.on_data));
  return CURLE_OK;
}

}  // namespace vitalsd::net
