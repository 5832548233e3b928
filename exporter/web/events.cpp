#include "exporter/web/events.hpp"

#include "exporter/web/html.hpp"

#include <algorithm>

namespace vitalsd {

std::string_view event_name(ProbeEvent::What what) {
  switch (what) {
    case ProbeEvent::What::failed:
      return "failed";
    case ProbeEvent::What::recovered:
      return "recovered";
    case ProbeEvent::What::stale:
      return "stale";
    case ProbeEvent::What::stuck:
      return "stuck";
    case ProbeEvent::What::check:
      return "check";
  }
  return "";
}

std::string describe(const ProbeEvent& event) {
  if (event.check) {
    return event.check->name + ' ' +
           (event.check_state == Verdict::unknown ? "has no reading" : describe(*event.check));
  }
  if (event.after) {
    const bool is_short = *event.after < std::chrono::seconds(1);
    return "after " + (is_short ? exact(*event.after) : age(*event.after));
  }
  return (event.reason.empty() ? "" : std::string(event.reason) + ": ") + event.text;
}

bool matches(const ProbeFilter& filter, const ProbeView& probe, const ProbeEvent& event) {
  const bool has_state =
      filter.states.empty() || std::ranges::find(filter.states, event.state) != filter.states.end();
  if (!has_state) return false;
  ProbeView at_that_time;
  at_that_time.name = probe.name;
  at_that_time.kind = probe.kind;
  at_that_time.target = probe.target;
  at_that_time.labels = probe.labels;
  at_that_time.reason = event_name(event.what);
  at_that_time.detail = describe(event);
  ProbeFilter rest = filter;
  rest.states.clear();
  return matches(rest, at_that_time);
}

EventFeed select_events(const ProbeEvents& events, const std::vector<ProbeView>& probes,
                        const ProbeFilter& filter) {
  EventFeed feed;
  for (const auto& event : events) {
    const auto probe = std::ranges::lower_bound(probes, event->probe, {}, &ProbeView::name);
    if (probe == probes.end() || probe->name != event->probe) continue;
    if (!matches(filter, *probe, *event)) {
      ++feed.hidden;
    } else if (feed.entries.size() == EventFeed::kMax) {
      ++feed.older;
    } else {
      feed.entries.push_back({event, probe->kind});
    }
  }
  return feed;
}

}  // namespace vitalsd
