// The status of another process, as JSON.
#include "daemon/check_output.hpp"
#include "daemon/remote_status.hpp"
#include "exporter/web/status_json.hpp"

#include <cstddef>
#include <cstdint>
#include <string_view>

using namespace vitalsd;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto status = parse_status({reinterpret_cast<const char*>(data), size});
  if (!status) return 0;
  const Overview& overview = (*status)->overview;
  check_text(overview.probes);
  check_nagios(overview.probes);
  check_markdown(overview.probes);
  status_json(overview);
  return 0;
}
