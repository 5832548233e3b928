// Options that the Kubernetes kinds share: which namespaces, which labels.
#pragma once

#include "config/node.hpp"
#include "probes/kubernetes/objects/label_selector.hpp"
#include "probes/net/kubernetes/reflector.hpp"

#include <string>
#include <vector>

namespace vitalsd::kubernetes {

/// What of a resource is wanted. Named namespaces are watched one by one, so that rights in them
/// suffice; without names it is one watch for all of them.
struct Scope {
  std::vector<std::string> namespaces;
  LabelSelector selector;

  /// Reads `namespaces` and `selector`.
  static Scope read(config::Node& options);
  [[nodiscard]] std::vector<net::kubernetes::Query> queries(
      const net::kubernetes::Resource& resource) const;
  /// "all namespaces", "web, shop with app=web".
  [[nodiscard]] std::string text() const;
  /// Whether there may be an object that is in both.
  [[nodiscard]] bool overlaps(const Scope& other) const;
  bool operator==(const Scope&) const = default;
};

}  // namespace vitalsd::kubernetes
