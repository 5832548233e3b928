// The JSON of a kubelet's /stats/summary: the result must not depend on the chunks.
#include "probes/error.hpp"
#include "probes/kubernetes/kubelet/kubelet_summary.hpp"

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <optional>
#include <string_view>

using namespace vitalsd;

namespace {

std::optional<kubernetes::KubeletSummary> read(std::string_view text, std::size_t piece) {
  try {
    kubernetes::SummaryReader reader;
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
  if (whole->node != pieces->node || whole->fs.used_bytes != pieces->fs.used_bytes ||
      whole->usage.cpu_seconds != pieces->usage.cpu_seconds ||
      whole->pods.size() != pieces->pods.size()) {
    std::abort();
  }
  return 0;
}
