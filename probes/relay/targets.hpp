// The pages that a relay reads: URLs of the configuration, or one page for every address of the
// names in them.
#pragma once

#include "config/node.hpp"
#include "config/scalar.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/resolver.hpp"
#include "probes/probe.hpp"

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::relay {

/// One page.
struct Target {
  std::string name;      ///< unique within the probe, without secrets
  std::string instance;  ///< host:port; host:port/path if another target has the same host:port
  config::Url url;
  /// The host name in the configuration, if `url` has one of its addresses instead; otherwise
  /// empty.
  std::string host;
  std::vector<std::pair<std::string, std::string>> labels{};  ///< in addition to those of the probe
};

/// The pages of `url`, `urls` and `each_address`.
class UrlTargets {
 public:
  /// Reads the keys `url`, `urls` and `each_address`.
  explicit UrlTargets(config::Node& options);

  [[nodiscard]] bool empty() const { return urls_.empty(); }
  [[nodiscard]] const std::vector<config::Url>& urls() const { return urls_; }
  /// The key that sets the pages.
  [[nodiscard]] std::string_view key() const { return key_; }

  /// Appends the pages. `ip`: of the addresses of each_address. Throws ProbeError(dns) if a name
  /// does not resolve.
  asio::awaitable<void> find(net::Resolver& resolver, net::IpVersion ip, SampleSet& run,
                             std::vector<Target>& out) const;

  /// "http://app:8080/metrics (and 2 more)".
  [[nodiscard]] std::string text() const;

 private:
  std::vector<config::Url> urls_;
  std::string_view key_;
  bool each_address_ = false;
};

}  // namespace vitalsd::relay
