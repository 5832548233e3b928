#include "exporter/web/probe_page.hpp"

#include "exporter/web/html.hpp"
#include "exporter/web/runbooks.hpp"

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <memory>

namespace vitalsd {
namespace {

std::string entry(std::string_view name, const std::string& content) {
  return content.empty() ? "" : "<dt>" + std::string(name) + "</dt><dd>" + content + "</dd>\n";
}

std::string runbook_link(std::string_view rule) {
  return "<a href=\"" + runbook_url(rule) + "\">" + std::string(rule) + "</a>";
}

std::string runbooks(const ProbeView& probe) {
  std::string out;
  for (const std::string_view rule : failing_rules(probe)) {
    out += (out.empty() ? "" : ", ") + runbook_link(rule);
  }
  return out;
}

std::string labels(const ProbeView& probe) {
  std::string out;
  for (const auto& [name, value] : probe.labels) {
    out += "<a class=l href=\"../?label." + encode_query(name) + "=" + encode_query(value) + "\">" +
           escape_html(name) + "=" + escape_html(value) + "</a> ";
  }
  return out;
}

// The error of the last failed run: the current one, or the last one that was recorded.
std::string last_error(const ProbeView& probe, const ProbeEvents& events, ProbeView::Time now) {
  const bool is_down = probe.state != ProbeView::State::ok && !probe.reason.empty() &&
                       probe.state != ProbeView::State::pending;
  if (is_down) {
    return "<span class=critical>" + escape_html(probe.reason) + ": " + escape_html(probe.detail) +
           "</span>" +
           (probe.down_since ? "<small>no success since " +
                                   timed(*probe.down_since, iso_time(*probe.down_since)) +
                                   ", for " + age(now - *probe.down_since) + "</small>"
                             : "");
  }
  const auto last = std::ranges::find(events, ProbeEvent::What::failed,
                                      [](const auto& event) { return event->what; });
  if (last == events.end()) return "";
  return escape_html(describe(**last)) + "<small>" + ago((*last)->time, now) + "</small>";
}

std::string next_run(const ProbeView& probe, ProbeView::Time now) {
  if (!probe.next_run) return "";
  return timed(*probe.next_run, *probe.next_run > now ? "in " + age(*probe.next_run - now) : "now");
}

std::string last_run(const ProbeView& probe, ProbeView::Time now) {
  if (!probe.last_run) return "not yet";
  return ago(*probe.last_run, now) + ", took " + duration_text(probe.duration_seconds);
}

std::string checks_table(const ProbeView& probe) {
  if (probe.checks.empty()) return "<p class=d>No check has a reading.</p>\n";
  std::string out =
      "<table><thead><tr><th>State</th><th>Check</th><th>Reading</th><th>Object</th>"
      "<th>Threshold</th><th>Runbook</th></tr></thead><tbody>\n";
  for (const CheckView& check : probe.checks) {
    const std::string_view rule = rule_of(probe, check);
    out += "<tr><td class=n>" + named(verdict(check)) + "</td><td class=n>" +
           escape_html(check.name) + "</td><td class=\"n v\" data-name=Reading>" +
           escape_html(check.reading) + "</td>";
    // Empty cells are not shown on a narrow screen.
    const auto cell = [&](std::string_view name, const std::string& content) {
      out += content.empty()
                 ? "<td></td>"
                 : "<td class=v data-name=" + std::string(name) + '>' + content + "</td>";
    };
    cell("Object", escape_html(check.object));
    cell("Threshold", escape_html(check.threshold));
    cell("Runbook", rule.empty() ? "" : runbook_link(rule));
    out += "</tr>\n";
  }
  return out + "</tbody></table>\n";
}

std::string event_row(const ProbeEvent& event, std::string_view kind, ProbeView::Time now,
                      bool with_probe) {
  std::string out = "<tr><td class=n>" + timed(event.time, iso_time(event.time)) + "<small>" +
                    age(now - event.time) + " ago</small></td>";
  if (with_probe) {
    out += "<td class=p><a href=\"probes/" + encode_query(event.probe) + "\">" +
           escape_html(event.probe) + "</a><small>" + escape_html(kind) + "</small></td>";
  }
  const Verdict changed = event.check ? event.check_state : event.state;
  return out + "<td class=\"n v\" data-name=\"State of the probe\">" + named(event.state) +
         "</td><td class=w>" + marked(changed) + std::string(event_name(event.what)) +
         (event.check || event.after ? " " : ": ") + escape_html(describe(event)) + "</td></tr>\n";
}

std::string event_head(bool with_probe) {
  return std::string("<table><thead><tr><th>Time</th>") + (with_probe ? "<th>Probe</th>" : "") +
         "<th>State</th><th>Change</th></tr></thead><tbody>\n";
}

std::string not_kept(std::size_t dropped) {
  if (dropped == 0) return "";
  return "<p class=d>" + std::to_string(dropped) +
         (dropped == 1 ? " older change is" : " older changes are") + " not kept.</p>\n";
}

std::string details(const ProbeView& probe, const ProbeEvents& events, ProbeView::Time now) {
  const Verdict state = verdict(probe);
  std::string since = named(state);
  if (probe.since)
    since += " since " + timed(*probe.since, iso_time(*probe.since)) + ", for " +
             age(now - *probe.since);
  std::string pending;
  if (probe.state == ProbeView::State::pending) pending = escape_html(probe.detail);
  return "<dl>" + entry("State", since + (pending.empty() ? "" : ": " + pending)) +
         entry("Last error", last_error(probe, events, now)) + entry("Runbooks", runbooks(probe)) +
         entry("Kind", escape_html(probe.kind)) + entry("Target", escape_html(probe.target)) +
         entry("Labels", labels(probe)) + entry("Last run", last_run(probe, now)) +
         entry("Last success", probe.last_success ? ago(*probe.last_success, now) : "never") +
         entry("Next run", next_run(probe, now)) +
         entry("Interval", exact(probe.interval) + ", timeout " + exact(probe.timeout)) +
         entry("Recent runs", probe.history == 0 ? "" : history(probe.history)) +
         entry("Message",
               probe.message.empty() ? "" : "<pre>" + escape_html(probe.message) + "</pre>") +
         "</dl>\n";
}

std::string options_list(const ProbeView& probe) {
  if (!probe.options || probe.options->empty()) return "";
  std::string out = "<h2>Options</h2><dl>";
  for (const auto& [name, value] : *probe.options) {
    out += entry(escape_html(name), escape_html(value));
  }
  return out + "</dl>\n";
}

}  // namespace

std::string probe_page(const Overview& overview, const ProbeView& probe, const ProbeEvents& events,
                       std::size_t dropped) {
  const Verdict state = verdict(probe);
  const std::string name = escape_html(probe.name);
  const std::string path = encode_query(probe.name);
  std::string out =
      page_start({.title = name + ": " + std::string(verdict_name(state)) + " - vitalsd",
                  .verdict = state,
                  .root = "../"}) +
      "<h1>" + named(state) + ": " + name + "</h1>\n<nav><a href=\"../\">all probes</a>" +
      "<a href=\"../events?name=" + path + "\">changes</a><a href=\"" + path +
      "/metrics\">metrics</a><a href=\"../api/v1/probes/" + path + "\">JSON</a>" +
      "<span class=d>" + iso_time(overview.now) + "</span></nav>\n" + notices_html(overview) +
      details(probe, events, overview.now) + "<h2>Checks</h2>\n" + checks_table(probe) +
      options_list(probe) + "<h2>Changes of state</h2>\n";
  if (events.empty() && dropped == 0) {
    out += "<p class=d>None since the start of the process.</p>\n";
  } else if (!events.empty()) {
    out += event_head(false);
    for (const auto& event : events) out += event_row(*event, probe.kind, overview.now, false);
    out += "</tbody></table>\n";
  }
  return out + not_kept(dropped) + std::string(kPageEnd);
}

std::string unknown_probe_page(std::string_view name, const std::vector<ProbeView>& probes,
                               std::string_view why) {
  constexpr std::size_t kMaxNames = 100;
  const std::string fact = why.empty() ? "No probe has the name " + escape_html(name)
                                       : "The probe " + escape_html(name) + ' ' + escape_html(why);
  std::string out =
      page_start({.title = fact + " - vitalsd", .verdict = Verdict::unknown, .root = "../"}) +
      "<h1>" + fact + "</h1>\n<nav><a href=\"../\">all probes</a></nav>\n<p>" +
      (probes.empty() ? "There are no probes." : "The probes are:") + "</p>\n<ul>\n";
  for (std::size_t i = 0; i < std::min(probes.size(), kMaxNames); ++i) {
    out += "<li><a href=\"" + encode_query(probes[i].name) + "\">" + escape_html(probes[i].name) +
           "</a></li>\n";
  }
  if (probes.size() > kMaxNames) {
    out += "<li>and " + std::to_string(probes.size() - kMaxNames) + " more</li>\n";
  }
  return out + "</ul>" + std::string(kPageEnd);
}

std::string events_page(const Overview& overview, const EventFeed& feed) {
  const Verdict whole = verdict(overview);
  std::string title = "vitalsd: changes of state";
  if (overview.filter != ProbeFilter()) {
    title += " (" + escape_html(filter_text(overview.filter)) + ')';
  }
  std::string out =
      page_start({.title = std::move(title), .verdict = whole}) +
      "<h1>Changes of state</h1>\n<nav><a href=\"./\">all probes</a><a href=\"api/v1/events" +
      query_of(overview.filter) + "\">JSON</a><span class=d>" + iso_time(overview.now) +
      "</span></nav>\n" + notices_html(overview) +
      filter_form(overview.filter, std::to_string(feed.hidden), "events");
  if (!overview.leads) return out + "<p>" + headline(overview) + "</p>" + std::string(kPageEnd);
  if (feed.entries.empty()) {
    const bool is_none = feed.hidden == 0 && feed.dropped == 0;
    out += is_none ? "<p class=d>None since the start of the process.</p>\n"
                   : "<p class=d>No change matches.</p>\n";
    return out + not_kept(feed.dropped) + std::string(kPageEnd);
  }
  out += event_head(true);
  for (const EventFeed::Entry& each : feed.entries) {
    out += event_row(*each.event, each.kind, overview.now, true);
  }
  out += "</tbody></table>\n";
  if (feed.older > 0) {
    out += "<p class=d>" + std::to_string(feed.older) + " older changes are not shown.</p>\n";
  }
  return out + not_kept(feed.dropped) + std::string(kPageEnd);
}

}  // namespace vitalsd
