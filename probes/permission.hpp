// Permissions in the Kubernetes API that a kind of probe needs. `vitalsd config permissions` prints
// them for the Helm chart, which renders the Roles of the configured probes from them.
#pragma once

#include <string_view>

namespace vitalsd {

struct Permission {
  enum class Verbs : unsigned char { get, watch };  ///< `watch` includes `list`

  std::string_view group;     ///< empty: the core group
  std::string_view resource;  ///< "pods", "nodes/stats"
  Verbs verbs = Verbs::watch;
  bool cluster = false;  ///< the resource is not in a namespace

  // Conditions under which the permission is needed. Without a condition, it is always needed.
  std::string_view unless_false = {};  ///< not needed if this option is `false`
  /// Needed only if this option, a list, is absent or contains the resource.
  std::string_view listed_in = {};
  /// Needed only if this option is present; in the namespaces that the key `namespaces` of this
  /// option lists.
  std::string_view within = {};
};

}  // namespace vitalsd
