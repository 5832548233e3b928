// Maps requests to responses, without I/O. Web thread only.
#pragma once

#include "exporter/model/exposition.hpp"
#include "exporter/web/options.hpp"

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {

struct WebRequest {
  std::string_view method;
  std::string_view target;  ///< path and query, or an absolute URL, as the client sent it
  std::string_view accept;
  std::string_view accept_encoding;
};

struct WebResponse {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  bool gzip = false;  ///< whether the body is compressed
  std::string body;
  std::unique_ptr<const Exposition::Page> page;  ///< instead of `body`, if set
  std::vector<std::pair<std::string_view, std::string>> headers;
  std::string_view route = "other";  ///< label value of the request metric: one of a fixed set
};

/// The response to any request except a reload (see is_reload()), which waits for the probe loop.
WebResponse respond(const WebOptions& options, const WebRequest& request);

/// Makes JSON of an error below /api/v1/ that is plain text.
void format_error(std::string_view target, WebResponse& response);

/// Whether the request is POST /-/reload and reload over HTTP is enabled.
bool is_reload(const WebOptions& options, const WebRequest& request);

/// Whether the request is for a health page. These require no credentials, because the kubelet has
/// none.
bool is_health(const WebRequest& request);

/// The path of a request target, which is an absolute URL in requests to a proxy.
std::string_view path_of(std::string_view target);

/// Whether this replica is the leader (WebOptions::leads).
bool is_leader(const WebOptions& options);

/// Compares ASCII letters without their case.
bool equals_ignoring_case(std::string_view a, std::string_view b);

/// The response 503 with Retry-After, to a request that can succeed later. A replica takes over
/// within some seconds, so five retries of curl are enough.
WebResponse unavailable(std::string text, std::string_view route);

/// The response to a request without a valid password.
WebResponse unauthorized();

/// The response to a request to a job that no probe watches.
WebResponse unknown_job();

/// The format that an Accept header prefers: OpenMetrics if its weight is at least that of the text
/// format, otherwise the text format.
Format negotiate_format(std::string_view accept);

/// Whether an Accept-Encoding header allows gzip.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace vitalsd
