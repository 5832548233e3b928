// Requests through an HTTP proxy: whose fault an error is, and errors that name the proxy.
#pragma once

#include "config/scalar.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/error.hpp"

#include <optional>
#include <string>

namespace vitalsd::net {

struct HttpRequest;

constexpr long kProxyAuthenticationRequired = 407;

/// An error of a request that `proxy` has accepted: the same error with the proxy in its text,
/// because the target itself may be reachable. Failures of vitalsd itself are unchanged.
ProbeError through_proxy(const config::Url& proxy, const ProbeError& error);

/// An error before `proxy` has accepted the request. The reason is internal, because the state of
/// the target is unknown. Failures of vitalsd itself are unchanged.
ProbeError proxy_failure(const config::Url& proxy, const ProbeError& error);

/// An error about the response to a request to `url`. Without TLS, the response may be one of the
/// proxy itself, so the text names the proxy, if there is one.
ProbeError about_response(const config::Url& url, const std::optional<config::Url>& proxy,
                          const ProbeError& error);

/// " through the proxy HOST:PORT", for the step of a run; empty without a proxy.
std::string through(const std::optional<config::Url>& proxy);

/// The proxy refuses the request itself, with this status: config (407) or internal.
ProbeError proxy_refusal(const config::Url& proxy, long status);

/// How far a request has come. Until its proxy, if there is one, has accepted it, an error or a
/// timeout carries no information about the target.
class RequestStage {
 public:
  /// Both must outlive the object.
  RequestStage(const HttpRequest& request, SampleSet& out);

  /// Sets the step of the run.
  void doing(std::string step);
  /// The proxy has established the tunnel or, without TLS, has accepted the connection. From then
  /// on, silence may be the target's: a proxy waits longer for it than a probe waits.
  void accepted() noexcept;
  /// The error to throw instead of `error`.
  [[nodiscard]] ProbeError judged(const ProbeError& error) const;

 private:
  const std::optional<config::Url>& proxy_;
  SampleSet& out_;
  bool is_accepted_;
  std::string next_step_;
};

}  // namespace vitalsd::net
