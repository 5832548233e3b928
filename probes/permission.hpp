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

  // When the permission is needed; without any of these, always.
  std::string_view unless_false = {};  ///< not if this option is `false`
  std::string_view listed_in = {};  ///< only if this option, a list, is absent or has the resource
  std::string_view within = {};     ///< only if this option is present, in its `namespaces`
};

}  // namespace vitalsd
