#include "probes/relay/pod_targets.hpp"

#include "config/endpoint.hpp"
#include "probes/kubernetes/objects/metadata.hpp"
#include "probes/kubernetes/watch/selection.hpp"

#include <algorithm>

namespace vitalsd::relay {
namespace {

using kubernetes::Field;
using kubernetes::for_each_field;

constexpr net::kubernetes::Resource kPods{.group = "", .version = "v1", .plural = "pods"};

// Field numbers are from k8s.io/api/core/v1/generated.proto.
void read_container(std::string_view message, bool is_init, RelayedPod& pod) {
  const std::size_t before = pod.ports.size();
  bool stays = !is_init;
  for_each_field(message, [&](Field& field) {
    // An init container that restarts is a sidecar. Other init containers have ended in a running
    // pod.
    if (field.tag() == 24) stays = stays || field.bytes() == "Always";
    if (field.tag() != 6) return;
    std::string name;
    std::int64_t number = 0;
    for_each_field(field.bytes(), [&](Field& port) {
      if (port.tag() == 1) name = port.bytes();
      if (port.tag() == 3) number = port.integer();
    });
    pod.ports.emplace_back(std::move(name), static_cast<std::uint16_t>(number));
  });
  if (!stays) pod.ports.resize(before);
}

bool is_port(std::string_view text) { return config::parse_port(text).has_value(); }

}  // namespace

RelayedPod read_relayed_pod(std::string_view message) {
  RelayedPod pod;
  for_each_field(message, [&](Field& part) {
    if (part.tag() == 1) {
      const kubernetes::Metadata metadata = kubernetes::read_metadata(part.bytes());
      pod.namespace_name = metadata.namespace_name;
      pod.name = metadata.name;
      pod.terminating = metadata.deleted.has_value();
    } else if (part.tag() == 2) {
      for_each_field(part.bytes(), [&](Field& field) {
        if (field.tag() == 2) read_container(field.bytes(), false, pod);
        if (field.tag() == 20) read_container(field.bytes(), true, pod);
      });
    } else if (part.tag() == 3) {
      for_each_field(part.bytes(), [&](Field& field) {
        if (field.tag() == 1) pod.running = field.bytes() == "Running";
        if (field.tag() == 6) pod.address = field.bytes();
      });
    }
  });
  return pod;
}

PodTargets::PodTargets(config::Node& section, const Environment& environment)
    : scope_(kubernetes::Scope::read(section)),
      port_(section.required<std::string>("port", "name or number of the container's port")),
      path_(section.get<std::string>("path", "/metrics", "path of the page")),
      scheme_(section.choice("scheme", {"http", "https"}, "scheme of the URL")) {
  if (!path_.starts_with('/')) section.error("path", "must start with /");
  const bool is_number =
      !port_.empty() && std::ranges::all_of(port_, [](char c) { return c >= '0' && c <= '9'; });
  if (is_number && !is_port(port_)) section.error("port", "must be 1 to 65535");
  for (net::kubernetes::Query& query : scope_.queries(kPods)) {
    pods_.push_back(std::make_unique<Pods>(
        environment, std::move(query), [](std::string_view message) -> std::optional<RelayedPod> {
          return read_relayed_pod(message);
        }));
  }
}

// Returns 0 if the pod has no port of this name.
std::uint16_t PodTargets::port_of(const RelayedPod& pod) const {
  if (const auto number = config::parse_port(port_)) return *number;
  const auto port =
      std::ranges::find(pod.ports, port_, [](const auto& each) { return each.first; });
  return port == pod.ports.end() ? std::uint16_t{0} : port->second;
}

asio::awaitable<bool> PodTargets::find(SampleSet& run, std::vector<Target>& out,
                                       kubernetes::Selection& selection) {
  bool complete = true;
  std::size_t without_port = 0;
  const std::size_t before = out.size();
  for (const auto& pods : pods_) pods->join();
  for (const auto& pods : pods_) {
    if (!co_await pods->judge(run, run)) {
      complete = false;
      continue;
    }
    pods->count(selection);
    pods->for_each([&](const RelayedPod& pod) {
      const std::uint16_t port = port_of(pod);
      if (!pod.running || pod.address.empty()) return;
      if (port == 0) {
        ++without_port;
        return;
      }
      config::Url url;
      url.scheme = scheme_;
      url.host = pod.address;
      url.port = port;
      url.path = path_;
      out.push_back({.name = pod.key(),
                     .instance = config::Endpoint{pod.address, port}.text(),
                     .url = std::move(url),
                     .host = {},
                     .labels = {{"namespace", pod.namespace_name}, {"pod", pod.name}}});
    });
  }
  if (without_port > 0 && out.size() == before) {
    run.fail(Reason::mismatch,
             "no selected pod has a container port with the name " + config::quoted(port_));
  }
  co_return complete;
}

void PodTargets::inherit(PodTargets& predecessor) {
  if (predecessor.scope_ == scope_) pods_ = std::move(predecessor.pods_);
}

}  // namespace vitalsd::relay
