// A kubelet's /metrics/cadvisor: the result must not depend on the chunks.
#include "probes/error.hpp"
#include "probes/kubernetes/kubelet/cadvisor.hpp"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <vector>

using namespace vitalsd;

namespace {

std::optional<std::vector<kubernetes::ContainerMetrics>> read(std::string_view text,
                                                              std::size_t piece) {
  static constexpr std::array<std::string_view, 3> kFamilies = {
      "container_memory_working_set_bytes", "container_spec_memory_limit_bytes",
      "container_cpu_usage_seconds_total"};
  try {
    kubernetes::CadvisorReader reader(kFamilies);
    for (; !text.empty(); text.remove_prefix(std::min(piece, text.size()))) {
      reader.feed(text.substr(0, piece));
    }
    return reader.finish();
  } catch (const ProbeError&) {  // the error for an invalid page
    return std::nullopt;
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto whole = read(text, size);
  const auto pieces = read(text, size % 7 + 1);
  if (whole.has_value() != pieces.has_value()) std::abort();
  if (!whole) return 0;
  const auto same = [](const auto& a, const auto& b) {
    return a.namespace_name == b.namespace_name && a.pod == b.pod && a.container == b.container &&
           a.image == b.image && a.name == b.name && a.values == b.values;
  };
  if (!std::ranges::equal(*whole, *pieces, same)) std::abort();
  for (const kubernetes::ContainerMetrics& each : *whole) {
    if (each.container.empty() || each.values.size() != 3) std::abort();
  }
  return 0;
}
