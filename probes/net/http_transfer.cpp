#include "probes/net/http_transfer.hpp"

#include "probes/error.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/connection_key.hpp"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <system_error>
#include <utility>

#include <openssl/ssl.h>
#include <openssl/x509.h>

namespace vitalsd::net {
namespace {

constexpr std::size_t kMaxHeaderBytes = 64 * 1024;
constexpr const char* kUserAgent = "vitalsd";

std::string bracketed(const std::string& host) {
  return host.contains(':') ? '[' + host + ']' : host;
}

Reason reason_of(CURLcode code) {
  switch (code) {
    case CURLE_COULDNT_RESOLVE_HOST:
    case CURLE_COULDNT_RESOLVE_PROXY:
      return Reason::dns;
    case CURLE_COULDNT_CONNECT:
      return Reason::connect;
    case CURLE_OPERATION_TIMEDOUT:
      return Reason::timeout;
    case CURLE_SSL_CONNECT_ERROR:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_SSL_CIPHER:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_ISSUER_ERROR:
      return Reason::tls;
    case CURLE_URL_MALFORMAT:
      return Reason::config;
    case CURLE_FAILED_INIT:
    case CURLE_BAD_FUNCTION_ARGUMENT:
      return Reason::internal;
    default:
      return Reason::protocol;  // empty, cut off or malformed answers, or none of HTTP's at all
  }
}

// An IPv6 address as a name.
std::string address_name(std::string address) {
  std::ranges::replace(address, ':', '-');
  return "address-" + address;
}

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

HttpTransfer::HttpTransfer(const HttpRequest& request, CurlHandle& handle, CurlMulti& multi,
                           TlsContexts& tls)
    : request_(request),
      handle_(handle),
      multi_(multi),
      tls_(tls),
      transfer_{.easy = handle.easy, .stream = static_cast<bool>(request.on_data)} {}

void HttpTransfer::append(List& list, const std::string& line) {
  list.reset(curl_slist_append(list.release(), line.c_str()));
}

// ---- what libcurl is told -----------------------------------------------------------------------

void HttpTransfer::prepare(const Addresses& addresses) {
  curl_easy_reset(handle_.easy);
  set_basics();
  set_destination(addresses);
  set_headers();
  set_method();
  set_credentials();
  if (request_.url.scheme == "https") set_tls();
}

void HttpTransfer::set_basics() {
  set(CURLOPT_SHARE, handle_.share);
  set(CURLOPT_ERRORBUFFER, static_cast<char*>(error_));
  set(CURLOPT_NOSIGNAL, 1L);
  set(CURLOPT_PROTOCOLS_STR, "http,https");
  set(CURLOPT_PROXY, "");  // else the environment chooses one
  set(CURLOPT_NETRC, static_cast<long>(CURL_NETRC_IGNORED));
  set(CURLOPT_WRITEFUNCTION, &HttpTransfer::on_body);
  set(CURLOPT_WRITEDATA, this);
  set(CURLOPT_HEADERFUNCTION, &HttpTransfer::on_header);
  set(CURLOPT_HEADERDATA, this);
  set(CURLOPT_USERAGENT, kUserAgent);
  const bool http2 = request_.http2 && !request_.on_data;
  set(CURLOPT_HTTP_VERSION,
      static_cast<long>(http2 ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_1_1));
  // The run's deadline ends a transfer, nothing else; libcurl's own default for connecting is 300
  // s.
  set(CURLOPT_CONNECTTIMEOUT, 86'400L);
  if (request_.limit.count() > 0) {
    set(CURLOPT_TIMEOUT_MS, static_cast<long>(request_.limit.count()));
  }
  set(CURLOPT_TCP_NODELAY, 0L);  // one write a request: nothing to delay
  if (!request_.reuse_connection) {
    set(CURLOPT_FRESH_CONNECT, 1L);
    set(CURLOPT_FORBID_REUSE, 1L);
    if (!request_.on_data) set(CURLOPT_BUFFERSIZE, 1024L);  // health answers are short
  }
}

// The URL's host is what SNI and verification use: where another name is wanted for them, it stands
// in the URL, and the host's own in the Host header.
bool HttpTransfer::renamed() const {
  return request_.url.scheme == "https" && !request_.tls.server_name.empty();
}

const std::string& HttpTransfer::asked_name() const {
  return renamed() ? request_.tls.server_name : request_.url.host;
}

void HttpTransfer::set_destination(const Addresses& addresses) {
  const std::string port = ':' + std::to_string(port_of(request_.url));
  const std::string& name = asked_name();
  config::Url asked = request_.url;
  asked.host = name;
  set(CURLOPT_URL, asked.text().c_str());
  // libcurl tells kept connections apart by the name of where they lead to.
  const bool kept = request_.reuse_connection;
  // It does not take an address with colons for a name of its cache.
  const bool colons = name.contains(':');
  const std::string place = kept ? connection_key(request_) : colons ? address_name(name) : name;
  const std::string entry = place + port;
  if (kept || colons) {
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

void HttpTransfer::set_headers() {
  bool has_host = false;
  // Without CURLOPT_ACCEPT_ENCODING libcurl decodes nothing. Proxies rewrite this header, and a
  // signature would cover it.
  bool takes_gzip = !request_.on_data && !request_.aws;
  for (const auto& [header, value] : request_.headers) {
    has_host = has_host || same_header(header, "Host");
    takes_gzip = takes_gzip && !same_header(header, "Accept-Encoding");
    // "Name;" is libcurl's way to send a header without a value.
    append(headers_, value.empty() ? header + ';' : header + ": " + value);
  }
  const config::Url& url = request_.url;
  if (renamed() && !has_host) {
    append(headers_,
           "Host: " + bracketed(url.host) + (url.port != 0 ? ':' + std::to_string(url.port) : ""));
  }
  if (takes_gzip) append(headers_, "Accept-Encoding: gzip");
  if (!request_.body.empty()) append(headers_, "Expect:");  // no "100 Continue" round
  set(CURLOPT_HTTPHEADER, headers_.get());
}

void HttpTransfer::set_method() {
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

void HttpTransfer::set_credentials() {
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

void HttpTransfer::set_tls() {
  const TlsOptions& tls = request_.tls;
  // Our own store, shared; libcurl would read the bundle and a directory anew each time.
  set(CURLOPT_CAINFO, nullptr);
  set(CURLOPT_CAPATH, nullptr);
  // libcurl would keep the first store that it meets here, and use that one for every host: its
  // cache knows stores by the name of the file, which they all lack. Nor may it change ours.
  set(CURLOPT_CA_CACHE_TIMEOUT, 0L);
  set(CURLOPT_SSL_OPTIONS, static_cast<long>(CURLSSLOPT_NO_PARTIALCHAIN));
  set(CURLOPT_SSL_VERIFYPEER, tls.verify ? 1L : 0L);
  set(CURLOPT_SSL_VERIFYHOST, tls.verify ? 2L : 0L);
  // A resumed session is not verified again, so it would hide a certificate that has expired.
  set(CURLOPT_SSL_SESSIONID_CACHE, 0L);
  if (tls.verify) {
    X509_STORE* const store = tls_.store(tls.ca);
    X509_STORE_up_ref(store);
    store_.reset(store, X509_STORE_free);
  }
  set(CURLOPT_SSL_CTX_FUNCTION, &HttpTransfer::on_ssl_context);
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

CURLcode HttpTransfer::on_ssl_context(CURL* /*easy*/, void* context, void* self) {
  auto& transfer = *static_cast<HttpTransfer*>(self);
  auto* const tls = static_cast<SSL_CTX*>(context);
  if (transfer.store_) SSL_CTX_set1_cert_store(tls, transfer.store_.get());
  refuse_large_primes(tls);
  transfer.multi_.watch_records(tls, static_cast<bool>(transfer.request_.on_data));
  return CURLE_OK;
}

// ---- what comes back ----------------------------------------------------------------------------

// Whether the body goes to on_data.
bool HttpTransfer::streams() const {
  constexpr long kFirst = 200;
  constexpr long kLast = 299;
  if (!request_.on_data) return false;
  long status = 0;
  curl_easy_getinfo(handle_.easy, CURLINFO_RESPONSE_CODE, &status);
  return status >= kFirst && status <= kLast;
}

// How many bytes were taken: less than all end the transfer. No exception may pass through
// libcurl's frames.
std::size_t HttpTransfer::take(std::string_view bytes,
                               bool (HttpTransfer::*how)(std::string_view)) {
  try {
    return (this->*how)(bytes) ? bytes.size() : 0;
  } catch (...) {  // rethrown where the transfer has ended
    thrown_ = std::current_exception();
    return 0;
  }
}

std::size_t HttpTransfer::on_body(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<HttpTransfer*>(self)->take({data, size * count}, &HttpTransfer::take_body);
}

bool HttpTransfer::take_body(std::string_view bytes) {
  multi_.took_body(bytes.size());
  if (streams()) {
    multi_.streamed(bytes.size());
    ended_ = !request_.on_data(bytes);
    return !ended_;
  }
  body_bytes_ += bytes.size();
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

bool HttpTransfer::fail(std::string fault) {
  fault_ = std::move(fault);
  return false;
}

bool HttpTransfer::fail_as_too_large() {
  return fail("the answer is larger than " + std::to_string(request_.max_body) + " bytes");
}

std::size_t HttpTransfer::on_header(char* data, std::size_t size, std::size_t count, void* self) {
  return static_cast<HttpTransfer*>(self)->take({data, size * count}, &HttpTransfer::take_header);
}

bool HttpTransfer::take_header(std::string_view line) {
  header_bytes_ += line.size();
  if (header_bytes_ > kMaxHeaderBytes) {
    return fail("the headers are larger than " + std::to_string(kMaxHeaderBytes) + " bytes");
  }
  while (line.ends_with('\n') || line.ends_with('\r')) line.remove_suffix(1);
  if (line.starts_with("HTTP/")) return begin_head();
  if (line.empty()) return end_head();
  const std::size_t colon = line.find(':');
  if (colon == std::string_view::npos) return true;
  const auto& [name, value] =
      response_.headers.emplace_back(line.substr(0, colon), trimmed(line.substr(colon + 1)));
  return has_head_ || take_framing(name, value);  // behind the body there are trailers
}

// What the headers say of how the body comes.
bool HttpTransfer::take_framing(std::string_view header, std::string_view value) {
  if (same_header(header, "Content-Encoding")) decoder_.announce(value);
  // libcurl passes over a length that is too large for it.
  if (same_header(header, "Content-Length") && !is_length(value)) {
    return fail("the Content-Length " + config::quoted(value) + " is no length");
  }
  // libcurl undoes codings of the transfer unasked.
  if (same_header(header, "Transfer-Encoding") && !same_header(value, "chunked") &&
      !same_header(value, "identity")) {
    return fail("the transfer coding " + config::quoted(value) + " is not supported");
  }
  return true;
}

// After a "100 Continue" there is another one.
bool HttpTransfer::begin_head() {
  response_.headers.clear();
  decoder_.reset();
  has_head_ = false;
  if (request_.url.scheme != "https" || response_.certificate_expiry) return true;
  curl_tlssessioninfo* info = nullptr;
  curl_easy_getinfo(handle_.easy, CURLINFO_TLS_SSL_PTR, &info);
  if (info != nullptr && info->internals != nullptr) {
    response_.certificate_expiry =
        earliest_expiry(SSL_get_peer_cert_chain(static_cast<SSL*>(info->internals)));
  }
  return true;
}

bool HttpTransfer::end_head() {
  has_head_ = true;
  if (!streams()) return true;
  if (decoder_.encoded()) return fail("the answer is compressed, which was not asked for");
  ended_ = !request_.on_data({});
  return !ended_;
}

HttpResponse HttpTransfer::take(CURLcode code, double resolve_seconds) {
  if (transfer_.flooded) {
    fault_ = "the server sends without end, and nothing of it belongs to the answer";
  }
  if (thrown_) std::rethrow_exception(thrown_);
  if (!fault_.empty()) throw ProbeError(Reason::protocol, fault_);
  if (code != CURLE_OK && !ended_) {
    std::string text = error_[0] != '\0' ? error_ : curl_easy_strerror(code);
    long os_error = 0;
    curl_easy_getinfo(handle_.easy, CURLINFO_OS_ERRNO, &os_error);
    if (code == CURLE_COULDNT_CONNECT && os_error != 0) {
      const config::Endpoint endpoint{request_.url.host, port_of(request_.url)};
      text = endpoint.text() + ": " + std::strerror(static_cast<int>(os_error));
    }
    // What libcurl says of a header line beyond 100 KB.
    if (code == CURLE_OUT_OF_MEMORY) text = "a header is too long, or memory is short";
    const bool ours = code == CURLE_COULDNT_CONNECT && is_our_shortage(static_cast<int>(os_error));
    throw ProbeError(ours ? Reason::internal : reason_of(code), text);
  }
  // libcurl takes the end of a connection for the end of the headers.
  if (!has_head_) {
    throw ProbeError(Reason::protocol, "the connection was closed within the headers");
  }
  if (decoder_.finish() == ContentDecoder::Result::broken) {
    throw ProbeError(Reason::protocol, decoder_.fault());
  }
  long status = 0;
  long version = 0;
  curl_easy_getinfo(handle_.easy, CURLINFO_RESPONSE_CODE, &status);
  curl_easy_getinfo(handle_.easy, CURLINFO_HTTP_VERSION, &version);
  response_.status = static_cast<int>(status);
  response_.version = version == CURL_HTTP_VERSION_1_0 ? 1.0
                      : version == CURL_HTTP_VERSION_2 ? 2.0
                                                       : 1.1;
  read_phases(resolve_seconds);
  return std::move(response_);
}

void HttpTransfer::read_phases(double resolve_seconds) {
  const auto microseconds = [this](CURLINFO info) {
    curl_off_t value = 0;
    curl_easy_getinfo(handle_.easy, info, &value);
    return value;
  };
  const auto seconds = [](curl_off_t from, curl_off_t to) {
    return static_cast<double>(to - from) / 1e6;
  };
  // Each from the beginning; what did not happen is 0.
  const curl_off_t resolved = microseconds(CURLINFO_NAMELOOKUP_TIME_T);
  const curl_off_t connected = std::max(microseconds(CURLINFO_CONNECT_TIME_T), resolved);
  const curl_off_t secured = std::max(microseconds(CURLINFO_APPCONNECT_TIME_T), connected);
  const curl_off_t first_byte = std::max(microseconds(CURLINFO_STARTTRANSFER_TIME_T), secured);
  const curl_off_t total = std::max(microseconds(CURLINFO_TOTAL_TIME_T), first_byte);
  HttpPhases& phases = response_.phases;
  phases.resolve = resolve_seconds;
  phases.connect = seconds(resolved, connected);
  phases.tls = seconds(connected, secured);
  phases.processing = seconds(secured, first_byte);
  phases.transfer = seconds(first_byte, total);
}

}  // namespace vitalsd::net
