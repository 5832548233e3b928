#include "probes/net/http_proxy.hpp"

#include "config/endpoint.hpp"
#include "probes/net/http_client.hpp"

#include <string>
#include <utility>

namespace vitalsd::net {

namespace {

std::string name_of(const config::Url& proxy) {
  return config::Endpoint{proxy.host, port_of(proxy)}.text();
}

// What to do about status 407.
std::string credentials_hint(const config::Url& proxy) {
  if (proxy.user.empty()) {
    return "it requires credentials: set a user in proxy, and proxy_password";
  }
  return "it does not accept the user of proxy with proxy_password, or basic authentication";
}

// The text of an error with the name of the proxy. `prefix` is for an error that does not start
// with the host.
std::string with_proxy(const config::Url& proxy, const std::string& detail,
                       const std::string& prefix) {
  const std::string name = name_of(proxy);
  if (detail.contains("the proxy " + name)) return detail;
  if (detail.starts_with(name + ':') || detail.starts_with(proxy.host + ':')) {
    return "the proxy " + detail;
  }
  return prefix + name + ": " + detail;
}

// Whether the error is one of vitalsd itself, such as a file that cannot be read.
bool is_local(const ProbeError& error) { return !is_up(error.reason()); }

}  // namespace

ProbeError through_proxy(const config::Url& proxy, const ProbeError& error) {
  if (is_local(error)) return error;
  return {error.reason(), with_proxy(proxy, error.what(), "through the proxy ")};
}

ProbeError proxy_failure(const config::Url& proxy, const ProbeError& error) {
  const std::string detail = error.what();
  // Only an error of the connection starts with the host.
  if (is_local(error) && !detail.starts_with(proxy.host + ':')) return error;
  return {is_local(error) ? error.reason() : Reason::internal,
          with_proxy(proxy, detail, "the proxy ")};
}

ProbeError about_response(const config::Url& url, const std::optional<config::Url>& proxy,
                          const ProbeError& error) {
  const bool is_tunnel = url.scheme == "https";
  return proxy && !is_tunnel ? through_proxy(*proxy, error) : error;
}

std::string through(const std::optional<config::Url>& proxy) {
  return proxy ? " through the proxy " + name_of(*proxy) : "";
}

ProbeError proxy_refusal(const config::Url& proxy, long status) {
  const std::string detail =
      "the proxy " + name_of(proxy) + " refuses the request: status " + std::to_string(status);
  if (status != kProxyAuthenticationRequired) return {Reason::internal, detail};
  return {Reason::config, detail + ", " + credentials_hint(proxy)};
}

RequestStage::RequestStage(const HttpRequest& request, SampleSet& out)
    : proxy_(request.proxy), out_(out), is_accepted_(!proxy_) {
  if (is_accepted_) return;
  next_step_ = "waiting for a response from " +
               config::Endpoint{request.url.host, port_of(request.url)}.text() + through(proxy_);
}

void RequestStage::doing(std::string step) {
  out_.doing(std::move(step), is_accepted_ ? Reason::timeout : Reason::internal);
}

void RequestStage::accepted() noexcept {
  if (std::exchange(is_accepted_, true)) return;
  out_.doing(std::move(next_step_));
}

ProbeError RequestStage::judged(const ProbeError& error) const {
  if (!proxy_) return error;
  return is_accepted_ ? through_proxy(*proxy_, error) : proxy_failure(*proxy_, error);
}

}  // namespace vitalsd::net
