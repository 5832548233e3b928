// What all objects of the Kubernetes API have in common, and the small messages that they share.
// Field numbers are those of k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto. Pure.
#pragma once

#include "probes/kubernetes/objects/compact.hpp"
#include "probes/net/kubernetes/message.hpp"

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd::kubernetes {

using net::kubernetes::Field;
using net::kubernetes::for_each_field;
using net::kubernetes::read_map_entry;

struct Metadata {
  std::string name;
  std::string namespace_name;
  std::string uid;
  std::int64_t generation = 0;
  std::optional<double> created;  ///< Unix seconds
  std::optional<double> deleted;  ///< asked to go
  std::string owner_kind;         ///< the controller's; empty: none
  std::string owner_name;

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  bool operator==(const Metadata&) const = default;
};

Metadata read_metadata(std::string_view message);

/// metav1.Time: Unix seconds; the zero time, which means none, is nothing.
std::optional<double> read_time(std::string_view message);

/// A resource and its amount in base units (cores, bytes), as ResourceList has them.
using Amounts = std::vector<std::pair<std::string, double>>;

/// Adds an entry of a map<string, Quantity>; amounts that are none are left out.
void read_amount(std::string_view entry, Amounts& amounts);

/// How kube-state-metrics spells a resource as a label ("nvidia_com_gpu"), and its unit ("core",
/// "byte", "integer").
std::string resource_label(std::string_view resource);
std::string_view resource_unit(std::string_view resource);

/// Type, status and reason of a condition: all kinds' conditions have them at these numbers.
struct Condition {
  SharedText type;
  SharedText status;  ///< "True", "False", "Unknown"
  SharedText reason;
  std::optional<double> since;  ///< lastTransitionTime
  bool operator==(const Condition&) const = default;
};

/// Where a condition's message keeps what; type 1 and status 2 are everywhere.
struct ConditionFields {
  std::uint32_t reason;
  std::uint32_t last_transition;
};
Condition read_condition(std::string_view message, const ConditionFields& fields);

}  // namespace vitalsd::kubernetes
