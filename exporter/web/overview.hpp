// What the status page and its JSON show: all probes, and the process itself.
#pragma once

#include "exporter/web/filter.hpp"
#include "exporter/web/verdict.hpp"
#include "exporter/web/view.hpp"

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

/// The verdict on the probes that a filter selects without its states: probes of which none has
/// such a state differ from no probes.
struct Selection {
  Verdict verdict = Verdict::unknown;
  std::string headline{};
};

struct Overview {
  std::vector<ProbeView> probes;
  std::string_view version;
  ProbeView::Time now;  ///< all ages are relative to this time
  bool healthy = true;  ///< false: the probe loop does not respond, so all states are unknown
  bool leads = true;    ///< false: another replica is the leader
  std::vector<std::string> notices{};    ///< problems of the process itself
  ProbeFilter filter{};                  ///< the one that selected `probes`
  std::size_t hidden = 0;                ///< probes that it did not select
  std::optional<Selection> selection{};  ///< what it selected; none: all
};

/// Leaves only the probes that the filter selects.
void select_probes(Overview& overview, const ProbeFilter& filter);

/// The verdict on all probes, or on the selected ones, of any state. Unknown if this process does
/// not observe them.
Verdict verdict(const Overview& overview);

/// The number of probes by verdict, or why nothing is known.
std::string headline(const Overview& overview);

/// "2026-01-01T00:00:00Z".
std::string iso_time(ProbeView::Time time);

}  // namespace vitalsd
