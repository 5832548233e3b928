// Options that the Kubernetes kinds share: namespaces and label selector.
#pragma once

#include "config/node.hpp"
#include "probes/kubernetes/objects/label_selector.hpp"
#include "probes/net/kubernetes/api.hpp"

#include <string>
#include <vector>

namespace vitalsd::kubernetes {

/// The objects of a resource that are observed. Each configured namespace has its own watch, so
/// that permissions in these namespaces are sufficient. Without configured namespaces, one watch
/// covers all namespaces.
struct Scope {
  std::vector<std::string> namespaces;
  LabelSelector selector;

  /// Reads the keys `namespaces` and `selector`.
  static Scope read(config::Node& options);
  [[nodiscard]] std::vector<net::kubernetes::Query> queries(
      const net::kubernetes::Resource& resource) const;
  /// "all namespaces", "web, shop with app=web".
  [[nodiscard]] std::string text() const;
  /// Whether an object can be in both scopes.
  [[nodiscard]] bool overlaps(const Scope& other) const;
  bool operator==(const Scope&) const = default;
};

}  // namespace vitalsd::kubernetes
