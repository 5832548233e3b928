// HTTPS requests to the kubelets of nodes, each at the node's own address, with the credentials of
// the Kubernetes client. Probe loop only.
#pragma once

#include "config/scalar.hpp"
#include "probes/error.hpp"
#include "probes/kubernetes/objects/node_object.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/kubernetes/access.hpp"
#include "probes/net/tls.hpp"
#include "probes/probe.hpp"

#include <functional>
#include <string>
#include <string_view>
#include <utility>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::kubernetes {

/// A path of the kubelet's HTTP server.
struct KubeletPage {
  std::string_view path;        ///< "/stats/summary"
  std::string_view permission;  ///< what RBAC must allow to get: "nodes/stats"
};

class KubeletClient {
 public:
  /// Receives a piece of the body. May throw; get() throws the exception.
  using OnData = std::function<void(std::string_view)>;

  /// A CA and a client certificate in `tls` take precedence over those of the Kubernetes client.
  KubeletClient(const Environment& environment, net::TlsOptions tls)
      : environment_(environment), tls_(std::move(tls)) {}

  /// Reads the credentials again, because tokens rotate. Call it once before the requests of a run.
  /// Throws ProbeError (config, internal) if they cannot be read.
  asio::awaitable<void> load_credentials(SampleSet& run);

  /// Streams the body of a 2xx response from the node's first reachable address into `on_data`, and
  /// moves that address to the front, so that the next request uses it at once. `limit` applies to
  /// all attempts. An address that does not respond uses up a share of it.
  /// Throws ProbeError: config (the node has no address), auth (401), permission (403), mismatch
  /// (other statuses), and those of HttpClient::perform.
  asio::awaitable<void> get(Node& node, const KubeletPage& page, config::Duration limit,
                            OnData on_data) const;

  /// Whether the error of a get() shows that the kubelet responded. Other pages of the kubelet may
  /// then work. After any other error, requests for them would use up the time of the run.
  static bool has_responded(const ProbeError& error);

 private:
  /// Without host and limits.
  [[nodiscard]] net::HttpRequest request_for(const Node& node, const KubeletPage& page) const;
  asio::awaitable<void> stream(net::HttpRequest request, const KubeletPage& page,
                               const OnData& on_data) const;

  const Environment& environment_;
  net::TlsOptions tls_;
  net::kubernetes::Access access_;
  std::string token_;
};

}  // namespace vitalsd::kubernetes
