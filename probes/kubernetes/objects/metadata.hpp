// The metadata of all objects of the Kubernetes API, and small messages that several kinds share.
// Field numbers are from k8s.io/apimachinery/pkg/apis/meta/v1/generated.proto. Pure.
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
  std::optional<double> deleted;  ///< deletionTimestamp, Unix seconds
  std::string owner_kind;         ///< of the controller; empty if there is none
  std::string owner_name;

  [[nodiscard]] std::string key() const { return namespace_name + '/' + name; }
  bool operator==(const Metadata&) const = default;
};

Metadata read_metadata(std::string_view message);

/// Reads a metav1.Time in Unix seconds. Returns nothing for the zero time, which means that there
/// is no time.
std::optional<double> read_time(std::string_view message);

/// A ResourceList: resources and their amounts in base units (cores, bytes).
using Amounts = std::vector<std::pair<std::string, double>>;

/// Adds an entry of a map<string, Quantity>. Ignores invalid quantities.
void read_amount(std::string_view entry, Amounts& amounts);

/// The label value ("nvidia_com_gpu") and the unit ("core", "byte", "integer") that
/// kube-state-metrics uses for a resource.
std::string resource_label(std::string_view resource);
std::string_view resource_unit(std::string_view resource);

/// A condition of any kind of object.
struct Condition {
  SharedText type;
  SharedText status;  ///< "True", "False", "Unknown"
  SharedText reason;
  std::optional<double> since;  ///< lastTransitionTime
  bool operator==(const Condition&) const = default;
};

/// The field numbers that differ between kinds of conditions. The type is always field 1, the
/// status field 2.
struct ConditionFields {
  std::uint32_t reason;
  std::uint32_t last_transition;
};
Condition read_condition(std::string_view message, const ConditionFields& fields);

}  // namespace vitalsd::kubernetes
