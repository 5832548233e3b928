// Requests to responses, without any I/O: what each URL answers. Web thread only.
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
  std::string_view target;  ///< path and query, or a whole URL, as sent
  std::string_view accept;
  std::string_view accept_encoding;
};

struct WebResponse {
  int status = 200;
  std::string_view content_type = "text/plain; charset=utf-8";
  bool gzip = false;  ///< the body is compressed
  std::string body;
  std::unique_ptr<const Exposition::Page> page;  ///< instead of `body`, if set
  std::vector<std::pair<std::string_view, std::string>> headers;
  std::string_view route = "other";  ///< for the metric of requests: a closed set
};

/// Answers everything but a reload, which needs somebody else's time: see is_reload().
WebResponse respond(const WebOptions& options, const WebRequest& request);

/// Whether the request asks for POST /-/reload and that is enabled.
bool is_reload(const WebOptions& options, const WebRequest& request);

/// Whether the request is one for which no credentials are asked: the kubelet has none.
bool is_health(const WebRequest& request);

/// The format that an Accept header asks for; the text format unless OpenMetrics is preferred.
Format negotiate_format(std::string_view accept);

/// Whether an Accept-Encoding header allows gzip.
bool accepts_gzip(std::string_view accept_encoding);

}  // namespace vitalsd
