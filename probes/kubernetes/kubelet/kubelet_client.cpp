#include "probes/kubernetes/kubelet/kubelet_client.hpp"

#include "probes/net/configured_files.hpp"
#include "probes/net/http_client.hpp"
#include "probes/net/kubernetes/client.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <exception>
#include <iterator>
#include <optional>
#include <utility>
#include <vector>

namespace vitalsd::kubernetes {
namespace {

constexpr std::uint16_t kDefaultPort = 10250;
constexpr config::Duration kMinLimit{10};   // to try an address
constexpr std::size_t kMaxErrorBody = 300;  // bytes of a response that an error message repeats

// A response that is too slow is a timeout too, but leaves no time for another address.
bool is_unreachable(const ProbeError& error) {
  const Reason reason = error.reason();
  return reason == Reason::connect || reason == Reason::dns || reason == Reason::timeout;
}

}  // namespace

asio::awaitable<void> KubeletClient::load_credentials(SampleSet& run) {
  run.doing("reading secrets", Reason::internal);
  access_ = co_await environment_.kubernetes.api().access();
  if (access_.token) token_ = co_await environment_.files.read(access_.token, run);
}

asio::awaitable<void> KubeletClient::get(Node& node, const KubeletPage& page,
                                         config::Duration limit, OnData on_data) const {
  std::vector<std::string>& addresses = node.addresses;
  if (addresses.empty()) throw ProbeError(Reason::config, "the node has no address");
  // The other addresses are tried only if no connection is possible, for example to an IPv6 address
  // from a pod that has an IPv4 address only. If all attempts fail, the first error is reported.
  const auto deadline = std::chrono::steady_clock::now() + limit;
  net::HttpRequest request = request_for(node, page);
  std::optional<ProbeError> first_error;
  auto address = addresses.begin();
  for (; address != addresses.end(); ++address) {
    request.limit =
        std::chrono::duration_cast<config::Duration>(deadline - std::chrono::steady_clock::now());
    if (request.limit < kMinLimit) break;
    const auto untried = std::distance(address, addresses.end());
    request.connect_limit = untried == 1 ? config::Duration{0} : request.limit / untried;
    request.url.host = *address;
    std::optional<ProbeError> error;
    try {
      co_await stream(request, page, on_data);
    } catch (const ProbeError& thrown) {
      error = thrown;
    }
    if (error && is_unreachable(*error)) {
      if (!first_error) first_error = error;
      continue;
    }
    std::rotate(addresses.begin(), address, address + 1);
    if (error) throw ProbeError(*error);
    co_return;
  }
  // The next request starts with an address that was not tried.
  std::rotate(addresses.begin(), address, addresses.end());
  if (first_error) throw ProbeError(*first_error);
  throw ProbeError(Reason::timeout, "no time is left to query the node");
}

net::HttpRequest KubeletClient::request_for(const Node& node, const KubeletPage& page) const {
  net::HttpRequest request;
  request.url.scheme = "https";
  request.url.port = node.kubelet_port != 0 ? node.kubelet_port : kDefaultPort;
  request.url.path = page.path;
  request.tls = tls_;
  if (request.tls.ca.empty()) request.tls.ca = access_.tls.ca;
  if (request.tls.certificate.empty()) {
    request.tls.certificate = access_.tls.certificate;
    request.tls.key = access_.tls.key;
  }
  request.bearer = token_;
  request.reuse_connection = true;
  return request;
}

asio::awaitable<void> KubeletClient::stream(net::HttpRequest request, const KubeletPage& page,
                                            const OnData& on_data) const {
  std::exception_ptr error;
  request.on_data = [&](std::string_view piece) {
    try {
      on_data(piece);
    } catch (...) {  // must not unwind through libcurl; rethrown below
      error = std::current_exception();
    }
    return error == nullptr;
  };
  SampleSet steps;  // the run reports one step for all kubelets, not one for each request
  const net::HttpResponse response = co_await environment_.http.perform(request, steps);
  if (error) std::rethrow_exception(error);
  if (response.status >= 200 && response.status <= 299) co_return;

  const std::string detail = request.url.text() + ": status " + std::to_string(response.status) +
                             ": " + steps.shown(response.body, kMaxErrorBody);
  if (response.status == 401) throw ProbeError(Reason::auth, detail);
  if (response.status == 403) {
    throw ProbeError(Reason::permission, detail + "; missing permission: get resource \"" +
                                             std::string(page.permission) + "\" in API group \"\"");
  }
  if (response.status == 429) throw ProbeError(Reason::overload, detail);
  throw ProbeError(response.status >= 500 ? Reason::unready : Reason::mismatch, detail);
}

bool KubeletClient::has_responded(const ProbeError& error) {
  switch (error.reason()) {
    case Reason::permission:
    case Reason::mismatch:
    case Reason::protocol:
    case Reason::overload:
    case Reason::unready:
      return true;
    default:
      return false;
  }
}

}  // namespace vitalsd::kubernetes
