// The client for all outgoing HTTP: libcurl's multi-socket interface on the probe loop. Names are
// resolved by net::Resolver, redirects are not followed, and proxies from the environment are not
// used. Requests share nothing except connections, if reuse_connection is set. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/resolver.hpp"
#include "probes/net/timer_wheel.hpp"
#include "probes/net/tls.hpp"

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/io_context.hpp>

struct stack_st_X509;  // STACK_OF(X509) of OpenSSL

namespace vitalsd::net {

/// Credentials for AWS Signature Version 4.
struct AwsCredentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;
};

struct HttpResponse;

struct HttpRequest {
  std::string method = "GET";
  config::Url url;  ///< user and password in it are ignored
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string user;  ///< for basic authentication, if not empty
  std::string password;
  std::string bearer;                 ///< token, if not empty
  std::optional<AwsCredentials> aws;  ///< sign with SigV4
  std::string aws_region;
  /// An HTTP proxy, with the user in it. https URLs use CONNECT. Connections are not reused.
  std::optional<config::Url> proxy;
  std::string proxy_password;
  IpVersion ip = IpVersion::any;  ///< of the connection, to the proxy if there is one
  TlsOptions tls;
  std::size_t max_body = std::size_t{1} << 20;  ///< in bytes, both before and after decoding
  bool reuse_connection = false;                ///< otherwise a new connection, closed afterwards
  bool http2 = false;  ///< offer it over TLS, unless the response is streamed; otherwise HTTP/1.1
  std::chrono::milliseconds limit{0};  ///< for the whole request; 0: only the run's deadline
  /// The part of `limit` in which the TCP connection must be established; 0: all of it.
  std::chrono::milliseconds connect_limit{0};

  /// If set, the body of a 2xx response is streamed to this function and not stored. The function
  /// is first called with empty data when the headers are complete, then once for each piece. If it
  /// returns false, the transfer ends and perform() returns. A stream may take hours, so it has its
  /// own connection (HTTP/1.1). A stream does not request compression, because compressing costs a
  /// busy server more than sending the bytes, unless accept_gzip is set; without it, a compressed
  /// response is an error. Must not throw.
  std::function<bool(std::string_view)> on_data;
  /// If set, receives the headers of a streamed response before on_data is called. Must not throw.
  std::function<void(const HttpResponse&)> on_headers;
  bool accept_gzip = false;  ///< request compression of a stream; on_data receives the decoded body

  /// The server to connect to: the proxy, or the host of the URL.
  [[nodiscard]] config::Endpoint peer() const;
};

/// The phases of a request in seconds, as blackbox_exporter defines them.
struct HttpPhases {
  double resolve = 0;
  double connect = 0;
  double tls = 0;
  double processing = 0;  ///< from the request sent to the first byte
  double transfer = 0;
};

struct HttpResponse {
  int status = 0;
  double version = 0;  ///< 1.0, 1.1, 2
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  HttpPhases phases;
  /// HTTPS: the earliest expiry in the certificate chain that the server sent, in Unix time.
  std::optional<double> certificate_expiry;
  /// HTTPS: the verified chain; null if tls.verify is false.
  std::shared_ptr<stack_st_X509> chain;

  /// The value of the first header with that name, ignoring case; null if there is none.
  [[nodiscard]] const std::string* header(std::string_view name) const;
};

class HttpClient {
 public:
  HttpClient(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver, TlsContexts& tls);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends the request and waits for the whole response; `request` must outlive the call. Sets the
  /// step of `out`. Throws ProbeError: dns, connect, tls, protocol (also for a response that is too
  /// large), config, timeout (request.limit), internal.
  asio::awaitable<HttpResponse> perform(const HttpRequest& request, SampleSet& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The URL's port, or the default port of its scheme.
std::uint16_t port_of(const config::Url& url);

/// Compares header names case-insensitively.
bool same_header(std::string_view a, std::string_view b);

}  // namespace vitalsd::net
