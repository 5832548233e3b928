// The changes of state of probes, as plain values. The daemon records them where it logs them, so
// that log and pages agree.
#pragma once

#include "exporter/web/filter.hpp"
#include "exporter/web/verdict.hpp"
#include "exporter/web/view.hpp"

#include <chrono>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {

struct ProbeEvent {
  enum class What : unsigned char { failed, recovered, stale, stuck, check };

  std::string probe{};  ///< its name
  What what = What::failed;
  ProbeView::Time time{};
  Verdict state = Verdict::unknown;                  ///< of the probe after the change
  std::string_view reason{};                         ///< of a failure; a static string
  std::string text{};                                ///< the error
  std::optional<std::chrono::milliseconds> after{};  ///< of a recovery: how long the probe was down
  std::optional<CheckView> check{};                  ///< the check that changed, after the change
  Verdict check_state = Verdict::unknown;            ///< unknown: the check has no reading any more
};

/// The newest first.
using ProbeEvents = std::vector<std::shared_ptr<const ProbeEvent>>;

/// "failed", "recovered", "stale", "stuck" or "check".
std::string_view event_name(ProbeEvent::What what);

/// The change in words: "connect: refused", "after 3 min", "age 2d (users), warn above 1d".
std::string describe(const ProbeEvent& event);

/// Whether a change of this probe is selected. The states of the filter are compared with the state
/// after the change, its text also with the words of the change.
bool matches(const ProbeFilter& filter, const ProbeView& probe, const ProbeEvent& event);

/// What the page of changes and its JSON show.
struct EventFeed {
  struct Entry {
    std::shared_ptr<const ProbeEvent> event;
    std::string_view kind;
  };
  static constexpr std::size_t kMax = 500;

  std::vector<Entry> entries{};  ///< selected, the newest first, at most kMax
  std::size_t older = 0;         ///< selected, but more than kMax
  std::size_t hidden = 0;        ///< not selected
  /// Changes of the selected probes that are not kept any more. Their state and text are not known.
  std::size_t dropped = 0;
};

/// Selects changes. Leaves out those of probes that are not in `probes`, which are sorted by name.
EventFeed select_events(const ProbeEvents& events, const std::vector<ProbeView>& probes,
                        const ProbeFilter& filter);

}  // namespace vitalsd
