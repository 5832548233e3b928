// All outgoing HTTP, by libcurl's multi-socket interface on the probe loop. Names are resolved by
// our resolver, redirects are not followed here, the environment's proxies are not used, and
// nothing of one request is left for the next but, where asked for, its connection. Probe loop
// only.
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

namespace vitalsd::net {

/// Credentials for AWS Signature Version 4.
struct AwsCredentials {
  std::string access_key;
  std::string secret_key;
  std::string session_token;
};

struct HttpRequest {
  std::string method = "GET";
  config::Url url;  ///< user and password in it are ignored
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;
  std::string user;  ///< basic authentication, if not empty
  std::string password;
  std::string bearer;                 ///< token, if not empty
  std::optional<AwsCredentials> aws;  ///< sign with SigV4
  std::string aws_region;
  TlsOptions tls;
  std::size_t max_body = std::size_t{1} << 20;  ///< more is an error, decoded or not
  bool reuse_connection = false;                ///< else a fresh one, closed afterwards
  bool http2 = false;  ///< over TLS, where the server has it and this is no stream; else HTTP/1.1
  std::chrono::milliseconds limit{0};  ///< for the whole of it; 0: the run's deadline

  /// If set, the body of a 2xx answer comes here as it arrives and is not kept: first nothing, when
  /// the headers are there, then piece by piece; false ends the transfer, and perform() returns. A
  /// stream may take hours, so it has a connection of its own (HTTP/1.1), and does not ask for
  /// compression, which costs a busy server more than the bytes; an answer that is compressed all
  /// the same is an error. Must not throw.
  std::function<bool(std::string_view)> on_data;
};

/// Seconds, as blackbox_exporter cuts them.
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
  /// HTTPS: the earliest end of validity in the chain that the server sent, in Unix time.
  std::optional<double> certificate_expiry;

  /// The value of the first header of that name, whatever its case; null: none.
  [[nodiscard]] const std::string* header(std::string_view name) const;
};

class HttpClient {
 public:
  HttpClient(asio::io_context& loop, TimerWheel& wheel, Resolver& resolver, TlsContexts& tls);
  ~HttpClient();
  HttpClient(const HttpClient&) = delete;
  HttpClient& operator=(const HttpClient&) = delete;

  /// Sends the request and waits for the whole response; the request must live until then. Throws
  /// ProbeError: dns, connect, tls, protocol (also for a response that is too large), config. Tells
  /// `out` what it is doing.
  asio::awaitable<HttpResponse> perform(const HttpRequest& request, SampleSet& out);

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

/// The URL's own port, or that of its scheme.
std::uint16_t port_of(const config::Url& url);

/// Names of headers are compared without case.
bool same_header(std::string_view a, std::string_view b);

}  // namespace vitalsd::net
