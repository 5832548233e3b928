#include "probes/kubernetes/watch/scope.hpp"

#include <algorithm>

namespace vitalsd::kubernetes {
namespace {

// DNS labels: https://kubernetes.io/docs/concepts/overview/working-with-objects/names/
bool is_namespace_name(std::string_view text) {
  constexpr std::size_t kMaxSize = 63;
  const auto is_allowed = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  };
  return !text.empty() && text.size() <= kMaxSize && std::ranges::all_of(text, is_allowed) &&
         !text.starts_with('-') && !text.ends_with('-');
}

}  // namespace

Scope Scope::read(config::Node& options) {
  Scope scope;
  scope.namespaces = options.list<std::string>("namespaces", "only these namespaces; default: all");
  scope.selector = options.get<LabelSelector>("selector", {}, "app=web,tier!=cache");
  std::ranges::sort(scope.namespaces);
  for (const std::string& name : scope.namespaces) {
    if (!is_namespace_name(name)) {
      options.error("namespaces", config::quoted(name) + " is not a valid namespace name");
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
  const bool disjoint_namespaces =
      !namespaces.empty() && !other.namespaces.empty() &&
      std::ranges::find_first_of(namespaces, other.namespaces) == namespaces.end();
  return !disjoint_namespaces && !selector.disjoint(other.selector);
}

}  // namespace vitalsd::kubernetes
