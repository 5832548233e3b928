// The pages of the pods that namespaces and a label selector select. A watch reports new and
// deleted pods. Probes of other kinds with the same namespaces and selector share the watch.
#pragma once

#include "config/node.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/probe.hpp"
#include "probes/relay/targets.hpp"

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/awaitable.hpp>

namespace vitalsd::relay {

/// The fields of a pod that the probe uses.
struct RelayedPod {
  std::string namespace_name;
  std::string name;
  std::string address;  ///< empty until it has one
  bool running = false;
  bool terminating = false;
  std::vector<std::pair<std::string, std::uint16_t>>
      ports;  ///< of all containers and sidecars; names may be empty

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  bool operator==(const RelayedPod&) const = default;
};

/// Throws ProbeError(protocol) for malformed bytes.
RelayedPod read_relayed_pod(std::string_view message);

class PodTargets {
 public:
  /// Reads the keys of the section `pods`.
  PodTargets(config::Node& section, const Environment& environment);

  /// Appends the page of each running pod, and counts the pods of each scope. Fails parts of `run`
  /// for watches that are stale. Returns false if some pods are unknown, because the API server
  /// does not respond.
  asio::awaitable<bool> find(SampleSet& run, std::vector<Target>& out,
                             kubernetes::Selection& selection);

  [[nodiscard]] std::string text() const { return "pods in " + scope_.text(); }

  /// Takes over the watches of the predecessor if they are the same.
  void inherit(PodTargets& predecessor);

 private:
  using Pods = kubernetes::Watched<RelayedPod>;

  [[nodiscard]] std::uint16_t port_of(const RelayedPod& pod) const;

  kubernetes::Scope scope_;
  std::string port_;
  std::string path_;
  std::string scheme_;
  std::vector<std::unique_ptr<Pods>> pods_;
};

}  // namespace vitalsd::relay
