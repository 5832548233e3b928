// Requests the page of one target and reads it while it arrives. Probe loop only.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "probes/net/http_access.hpp"
#include "probes/page/page_reader.hpp"
#include "probes/probe.hpp"
#include "probes/relay/targets.hpp"

#include <functional>
#include <memory>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::relay {

using page::PageReader;

class PageClient {
 public:
  /// Reads the options of requests to `urls`: those of HttpAccess, and max_body.
  PageClient(config::Node& options, const Environment& environment, net::UrlOption urls);

  [[nodiscard]] const net::HttpAccess& access() const { return access_; }

  /// `make(openmetrics)` creates the reader of the page. Returns the reader after the last piece.
  /// Throws ProbeError: auth (401), permission (403), overload (429), unready (502 to 504),
  /// mismatch (other statuses, or a response that is not a page of metrics), protocol (larger than
  /// max_body), and the exceptions of HttpClient::perform.
  using MakeReader = std::function<std::unique_ptr<PageReader>(bool openmetrics)>;
  asio::awaitable<std::unique_ptr<PageReader>> get(const Target& target, config::Duration limit,
                                                   SampleSet& run, const MakeReader& make) const;

 private:
  const Environment& environment_;
  net::HttpAccess access_;
  config::Bytes max_body_;
};

}  // namespace vitalsd::relay
