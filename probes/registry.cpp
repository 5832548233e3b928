#include "probes/registry.hpp"

#include <algorithm>
#include <array>

// One row for each kind, whose object is defined at the end of the kind's own file.
#define VITALSD_KINDS(X) \
  X(backup)              \
  X(bucket)              \
  X(cert_manager)        \
  X(certificate)         \
  X(dns)                 \
  X(filesystem)          \
  X(http)                \
  X(job)                 \
  X(kubelet)             \
  X(logs)                \
  X(node)                \
  X(pod)                 \
  X(postgres)            \
  X(prometheus)          \
  X(rabbitmq)            \
  X(redis)               \
  X(relay)               \
  X(tcp)                 \
  X(workload)

namespace vitalsd {

namespace kinds {
#define VITALSD_DECLARE(name) extern const ProbeKind name;
VITALSD_KINDS(VITALSD_DECLARE)
#undef VITALSD_DECLARE
}  // namespace kinds

std::span<const ProbeKind* const> probe_kinds() {
#define VITALSD_LIST(name) &kinds::name,
  static constexpr std::array kAll = {VITALSD_KINDS(VITALSD_LIST)};
#undef VITALSD_LIST
  return kAll;
}

const ProbeKind* find_kind(std::string_view name) {
  const auto kinds = probe_kinds();
  const auto it = std::ranges::find(kinds, name, &ProbeKind::name);
  return it == kinds.end() ? nullptr : *it;
}

std::vector<std::string_view> kind_names() {
  std::vector<std::string_view> names;
  for (const ProbeKind* kind : probe_kinds()) names.push_back(kind->name);
  return names;
}

}  // namespace vitalsd
