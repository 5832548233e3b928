#include "exporter/web/overview.hpp"

#include <array>
#include <chrono>
#include <cstddef>
#include <ctime>

namespace vitalsd {

void select_probes(Overview& overview, const ProbeFilter& filter) {
  ProbeFilter lasting = filter;
  lasting.states.clear();
  const auto keep = [&](const ProbeFilter& wanted) {
    return std::erase_if(overview.probes,
                         [&](const ProbeView& probe) { return !matches(wanted, probe); });
  };
  overview.filter = filter;
  overview.hidden = keep(lasting);
  const bool is_none = overview.probes.empty() && overview.hidden > 0;
  overview.selection = {verdict(overview.probes),
                        is_none ? "no probe matches" : summary(overview.probes)};
  overview.hidden += keep(filter);
}

Verdict verdict(const Overview& overview) {
  if (!overview.healthy || !overview.leads) return Verdict::unknown;
  return overview.selection ? overview.selection->verdict : verdict(overview.probes);
}

std::string headline(const Overview& overview) {
  if (!overview.healthy) return "the probe loop does not respond: all states are unknown";
  if (!overview.leads) return "standby: another replica is the leader";
  return overview.selection ? overview.selection->headline : summary(overview.probes);
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
