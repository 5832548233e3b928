// Requests the page of one target and reads it while it arrives. Probe loop only.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "config/secret.hpp"
#include "probes/net/tls.hpp"
#include "probes/page/page_reader.hpp"
#include "probes/probe.hpp"
#include "probes/relay/targets.hpp"

#include <functional>
#include <memory>
#include <string>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::relay {

using page::PageReader;

class PageClient {
 public:
  /// Reads the options of requests: TLS, credentials, max_body.
  PageClient(config::Node& options, const Environment& environment);

  /// `make(openmetrics)` creates the reader of the page. Returns the reader after the last piece.
  /// Throws ProbeError: auth (401), permission (403), overload (429), unready (502 to 504),
  /// mismatch (other statuses, or not a page of metrics), protocol (larger than max_body), and
  /// those of HttpClient::perform.
  using MakeReader = std::function<std::unique_ptr<PageReader>(bool openmetrics)>;
  asio::awaitable<std::unique_ptr<PageReader>> get(const Target& target, config::Duration limit,
                                                   SampleSet& run, const MakeReader& make) const;

 private:
  const Environment& environment_;
  net::TlsOptions tls_;
  std::string user_;
  config::Secret password_;
  config::Secret bearer_;
  config::Bytes max_body_;
};

}  // namespace vitalsd::relay
