#include "probes/net/http_request_setup.hpp"

#include "probes/net/connection_key.hpp"

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

void HttpRequestSetup::apply(const Addresses& addresses) {
  curl_easy_reset(handle_.easy);
  set_basics();
  set_destination(addresses);
  set_headers();
  set_method();
  set_credentials();
  if (request_.url.scheme == "https") set_tls();
}

void HttpRequestSetup::set_basics() {
  set(CURLOPT_SHARE, handle_.share);
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");  // otherwise libcurl takes a proxy from the environment
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_USERAGENT, kUserAgent);
  const bool http2 = request_.http2 && !request_.on_data;
  set(CURLOPT_HTTP_VERSION,
      static_cast<long>(http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // Only the run's deadline ends a transfer. libcurl's default connect timeout is 300 s.
  set(CURLOPT_CONNECTTIMEOUT, 86'400L);
  if (request_.limit.count() > 0) {
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(request_.limit.count()));
  }
  set(CURLOPT_TCP_NODELAY, 0L);  // a request is one write, so nothing is delayed
  if (!request_.reuse_connection) {
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_FORBID_REUSE, 1L);
    if (!request_.on_data) set(CURLOPT_BUFFERSIZE, 1024L);  // health responses are short
  }
}

// libcurl uses the URL's host for SNI and verification. If the options set another name for them,
// that name replaces the host in the URL, and the original host is sent in the Host header.
bool HttpRequestSetup::has_other_server_name() const {
  return request_.url.scheme == "https" && !request_.tls.server_name.empty();
}

const std::string& HttpRequestSetup::url_host() const {
  return has_other_server_name() ? request_.tls.server_name : request_.url.host;
}

void HttpRequestSetup::set_destination(const Addresses& addresses) {
  const std::string port = ':' + std::to_string(port_of(request_.url));
  const std::string& name = url_host();
  config::Url url = request_.url;
  url.host = name;
  set(CURLOPT_URL, url.text().c_str());
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
  std::string& resolved = handle_.resolved;
  if (!resolved.empty()) append(resolve_, '-' + resolved);
  std::string list;
  for (const auto& address : addresses) {
    list += (list.empty() ? "" : ",") + bracketed(address.to_string());
  }
  append(resolve_, entry + ':' + list);
  resolved = entry;
  set(CURLOPT_RESOLVE, resolve_.get());
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
  // The store is shared. libcurl would read the bundle and a directory for each transfer.
  set(CURLOPT_CAINFO, nullptr);
  set(CURLOPT_CAPATH, nullptr);
  // libcurl caches stores by file name. These stores have none, so libcurl would use the first one
  // for every host. The second option prevents that libcurl modifies the shared store.
  set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
  set(CURLOPT_SSL_OPTIONS, static_cast<long>(CURLSSLOPT_NO_PARTIALCHAIN));
  set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  // The certificate of a resumed session is not verified, so an expired one would go unnoticed.
  set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
  if (tls.verify) {
    X509_STORE* const store = tls_.store(tls.ca);
    X509_STORE_up_ref(store);
    store_.reset(store, X509_STORE_free);
  }
  set(CURLOPT_SSL_CTX_FUNCTION, &HttpRequestSetup::on_ssl_context);
  set(CURLOPT_SSL_CTX_DATA, this);
  if (is_pem(tls.certificate)) {
    const auto set_blob = [&](CURLoption option, const std::string& pem) {
      curl_blob blob{const_cast<char*>(pem.data()), pem.size(), CURL_BLOB_COPY};
      set(option, &blob);
    };
    set_blob(CURLOPT_SSLCERT_BLOB, tls.certificate);
    set_blob(CURLOPT_SSLKEY_BLOB, tls.key);
  } else if (!tls.certificate.empty()) {
    refuse_irregular(tls.certificate);
    refuse_irregular(tls.key);
    set(CURLOPT_SSLCERT, tls.certificate.c_str());
    set(CURLOPT_SSLKEY, tls.key.c_str());
  }
}

CURLcode HttpRequestSetup::on_ssl_context(CURL* /*easy*/, void* context, void* self) {
  auto& setup = *static_cast<HttpRequestSetup*>(self);
  auto* const tls = static_cast<SSL_CTX*>(context);
  if (setup.store_) SSL_CTX_set1_cert_store(tls, setup.store_.get());
  refuse_large_primes(tls);
  setup.multi_.watch_records(tls, static_cast<bool>(setup.request_.on_data));
  return CURLE_OK;
}

}  // namespace vitalsd::net
