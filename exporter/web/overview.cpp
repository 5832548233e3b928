#include "exporter/web/overview.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>

namespace vitalsd {

Verdict verdict(const Overview& overview) {
  return overview.healthy && overview.leads ? verdict(overview.probes) : Verdict::unknown;
}

std::string headline(const Overview& overview) {
  if (!overview.healthy) return "the probe loop does not respond: all states are unknown";
  if (!overview.leads) return "standby: another replica is the leader";
  if (overview.probes.empty() && overview.hidden > 0) return "no probe matches";
  return summary(overview.probes);
}

std::string iso_time(ProbeView::Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> buffer{};
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {buffer.data(), size};
}

}  // namespace vitalsd
