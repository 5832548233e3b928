#include "probes/kubernetes/watch/scope.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

// DNS labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
bool is_namespace(std::string_view text) {
  constexpr std::size_t kLongest = 63;
  const auto good = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= kLongest && std::ranges::all_of(text, good) &&
         !text.starts_with('-') && !text.ends_with('-');
}

}  // namespace

Scope Scope::read(config::Node& options) {
  Scope scope;
  scope.namespaces =
      options.list<std::string>("namespaces", "only these; without it all namespaces");
  scope.selector = options.get<LabelSelector>("selector", {}, "app=web,tier!=cache");
  std::ranges::sort(scope.namespaces);
  const auto doubles = std::ranges::unique(scope.namespaces);
  if (!doubles.empty()) options.error("namespaces", "a namespace is named twice");
  scope.namespaces.erase(doubles.begin(), doubles.end());
  for (const std::string& name : scope.namespaces) {
    if (!is_namespace(name)) {
      options.error("namespaces", config::quoted(name) + " is no name of a namespace");
    }
  }
  return scope;
}

std::vector<net::kubernetes::Query> Scope::queries(
    const net::kubernetes::Resource& resource) const {
  std::vector<net::kubernetes::Query> queries;
  for (const std::string& name : namespaces) {
    queries.push_back(
        {.resource = resource, .namespace_name = name, .label_selector = selector.text()});
  }
  if (namespaces.empty())
    queries.push_back({.resource = resource, .label_selector = selector.text()});
  return queries;
}

std::string Scope::text() const {
  std::string text;
  for (const std::string& name : namespaces) text += (text.empty() ? "" : ", ") + name;
  if (text.empty()) text = "all namespaces";
  if (!selector.empty()) text += " with " + selector.text();
  return text;
}

bool Scope::overlaps(const Scope& other) const {
  const bool apart = !namespaces.empty() && !other.namespaces.empty() &&
                     std::ranges::find_first_of(namespaces, other.namespaces) == namespaces.end();
  return !apart && !selector.disjoint(other.selector);
}

}  // namespace vitalsd::kubernetes
