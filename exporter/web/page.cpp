#include "exporter/web/page.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --line: #8884; --dim: #656d76; --ok: #1a7f37; --warn: #9a6700;
  --bad: #cf222e; }
@media (prefers-color-scheme: dark) {
  :root { --dim: #9198a1; --ok: #3fb950; --warn: #d29922; --bad: #f85149; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; }
nav { color: var(--dim); margin-bottom: 1.5rem; }
form { margin-bottom: 1rem; }
input { font: inherit; width: 18rem; max-width: 100%; box-sizing: border-box; }
.notice { white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem; }
th, td { padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
time, .l { white-space: nowrap; }
td, .notice { overflow-wrap: anywhere; }
td:first-child, td:nth-child(n+4) { overflow-wrap: normal; white-space: nowrap; }
a { color: inherit; }
small { color: var(--dim); display: block; }
small.e { color: var(--bad); }
.l { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; }
summary { color: var(--dim); font-size: .85rem; }
pre { margin: 0; max-height: 20rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
.ok { color: var(--ok); } .warning { color: var(--warn); } .critical { color: var(--bad); }
.unknown { color: var(--dim); }
i { font-style: normal; }
.h { letter-spacing: 1px; font-family: monospace; }
.h .o { color: var(--ok); } .h .f { color: var(--bad); } .h .s { color: var(--dim); }
@media (max-width: 700px) {
  body { margin: 1rem auto; }
  thead { display: none; }
  table, tbody { display: block; }
  tr { display: block; border: 1px solid var(--line); border-radius: 6px; margin-bottom: .8rem;
    padding: .4rem .7rem; }
  td { display: block; border: 0; padding: .15rem 0; }
  td:empty { display: none; }
  td:nth-child(n+4) { white-space: normal; }
  td:nth-child(n+4)::before { content: attr(data-name) ": "; color: var(--dim); }
  td:nth-child(n+4) small { display: inline; margin-left: .6em; }
  .h, .l { overflow-wrap: anywhere; white-space: normal; }
}
)css";

std::string age(std::chrono::system_clock::duration duration) {
  const auto seconds =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(duration).count());
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86400) + " d";
}

std::string duration_text(double seconds) {
  std::array<char, 32> buffer{};
  const bool small = seconds < 1;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                    small ? seconds * 1000 : seconds, std::chars_format::fixed, 1);
  return std::string(buffer.data(), result.ptr) + (small ? " ms" : " s");
}

// `text`, with the time that it refers to as its title.
std::string timed(ProbeView::Time time, const std::string& text) {
  const std::string iso = iso_time(time);
  return "<time datetime=\"" + iso + "\" title=\"" + iso + "\">" + text + "</time>";
}

std::string ago(ProbeView::Time then, ProbeView::Time now) {
  return timed(then, age(now - then) + " ago");
}

std::string marked(Verdict verdict) {
  return "<i class=" + std::string(verdict_name(verdict)) + '>' + std::string(mark(verdict)) +
         "</i> ";
}

std::string history(std::uint64_t bits) {
  std::string out = "<span class=h title=\"last runs, the newest on the right\">";
  for (int i = ProbeView::kHistory - 1; i >= 0; --i) {
    switch (bits >> (2 * i) & 3) {
      case 1:
        out += "<span class=o>▪</span>";
        break;
      case 2:
        out += "<span class=f>▪</span>";
        break;
      case 3:
        out += "<span class=s>▫</span>";
        break;
      default:
        break;
    }
  }
  return out + "</span>";
}

// A cell. On a narrow screen, where the table has no head, some cells show `name`.
std::string cell(std::string_view name, const std::string& content) {
  return "<td data-name=\"" + std::string(name) + "\">" + content + "</td>";
}

std::string state_cell(const ProbeView& probe, Verdict verdict, ProbeView::Time now) {
  const std::string name(verdict_name(verdict));
  std::string out = "<b class=" + name + ">" + name + "</b>";
  if (probe.since) {
    out += "<small>for " + timed(*probe.since, age(now - *probe.since)) + "</small>";
  }
  return out;
}

std::string probe_cell(const ProbeView& probe) {
  std::string out = "<a href=\"probes/" + escape_html(probe.name) + "/metrics\">" +
                    escape_html(probe.name) + "</a><small>" + escape_html(probe.kind) + " " +
                    escape_html(probe.target) + "</small>";
  if (!probe.labels.empty()) {
    out += "<small>";
    for (const auto& [name, value] : probe.labels) {
      out += "<a class=l href=\"?label." + encode_query(name) + "=" + encode_query(value) + "\">" +
             escape_html(name) + "=" + escape_html(value) + "</a> ";
    }
    out += "</small>";
  }
  if (!probe.reason.empty()) {
    const bool is_pending = probe.state == ProbeView::State::pending;
    out += std::string("<small") + (is_pending ? ">" : " class=e>") + escape_html(probe.reason) +
           ": " + escape_html(probe.detail) + "</small>";
  }
  if (!probe.message.empty()) {
    out += "<details><summary>message</summary><pre>" + escape_html(probe.message) +
           "</pre></details>";
  }
  return out;
}

std::string checks_cell(const ProbeView& probe) {
  std::string out;
  for (const CheckView& check : probe.checks) {
    out += marked(verdict(check)) + escape_html(check.name) + " " + escape_html(check.reading);
    if (!check.object.empty()) out += " (" + escape_html(check.object) + ")";
    if (!check.threshold.empty())
      out += "<small>" + escape_html(check.threshold) + "</small>";
    else
      out += "<br>";
  }
  return out;
}

std::string last_run_cell(const ProbeView& probe, ProbeView::Time now) {
  if (!probe.last_run) return "";
  return ago(*probe.last_run, now) + "<small>took " + duration_text(probe.duration_seconds) +
         ", every " + age(probe.interval) + "</small>";
}

std::string last_success_cell(const ProbeView& probe, ProbeView::Time now) {
  if (probe.last_success) return ago(*probe.last_success, now);
  return probe.last_run ? "never" : "";
}

void append_row(std::string& out, const ProbeView& probe, Verdict verdict, ProbeView::Time now) {
  out += "<tr>" + cell("State", state_cell(probe, verdict, now)) +
         cell("Probe", probe_cell(probe)) + cell("Checks", checks_cell(probe)) +
         cell("Last run", last_run_cell(probe, now)) +
         cell("Last success", last_success_cell(probe, now)) +
         cell("Recent runs", history(probe.history)) + "</tr>\n";
}

// The filter as text, in the form of a query string: separated by '&' in a link.
std::string query_of(const ProbeFilter& filter) {
  std::string out;
  for (const auto& [name, value] : to_parameters(filter)) {
    out += (out.empty() ? "?" : "&") + encode_query(name) + '=' + encode_query(value);
  }
  return escape_html(out);
}

// A search field, and links to the verdicts. Both keep the other parts of the filter.
std::string search(const Overview& overview) {
  std::string out =
      "<form><input type=search name=q aria-label=Search placeholder=\"name, target, label, "
      "error\" value=\"" +
      escape_html(overview.filter.text) + "\">";
  ProbeFilter filter = overview.filter;
  filter.text.clear();
  for (const auto& [name, value] : to_parameters(filter)) {
    out += "<input type=hidden name=\"" + escape_html(name) + "\" value=\"" + escape_html(value) +
           "\">";
  }
  filter = overview.filter;
  filter.states = {Verdict::critical, Verdict::unknown, Verdict::warning};
  out += " <a href=\"" + query_of(filter) + "\">not ok</a>";
  for (const Verdict verdict : kVerdicts) {
    filter.states = {verdict};
    out += " <a href=\"" + query_of(filter) + "\">" + std::string(verdict_name(verdict)) + "</a>";
  }
  if (overview.filter == ProbeFilter()) return out + "</form>\n";
  out += " <a href=\"./\">all</a> (" + std::to_string(overview.hidden) + " not shown by";
  for (const auto& [name, value] : to_parameters(overview.filter)) {
    out += ' ' + escape_html(name) + '=' + escape_html(value);
  }
  return out + ")</form>\n";
}

std::string_view color(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "#1a7f37";
    case Verdict::warning:
      return "#d29922";
    case Verdict::critical:
      return "#cf222e";
    case Verdict::unknown:
      break;
  }
  return "#888";
}

}  // namespace

std::string escape_html(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (const char c : text) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

std::string favicon(Verdict verdict) {
  return "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 16 16\">"
         "<circle cx=\"8\" cy=\"8\" r=\"7\" fill=\"" +
         std::string(color(verdict)) + "\"/></svg>\n";
}

std::string status_page(const Overview& overview) {
  std::vector<std::pair<Verdict, const ProbeView*>> rows;
  for (const ProbeView& probe : overview.probes) rows.emplace_back(verdict(probe), &probe);
  std::ranges::sort(rows, {}, [](const auto& row) {
    return std::tuple(std::ranges::find(kVerdicts, row.first), std::string_view(row.second->name));
  });
  const std::string name(verdict_name(verdict(overview)));
  const std::string text = headline(overview);
  // The address of the icon contains the verdict, because browsers keep icons.
  std::string out =
      "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
      "<meta name=viewport content=\"width=device-width\">"
      "<link rel=icon type=\"image/svg+xml\" href=\"favicon.ico?" +
      name + "\"><title>vitalsd: " + name + ": " + text + "</title><style>" + std::string(kStyle) +
      "</style></head><body>\n<h1><b class=" + name + ">" + name + "</b>: " + text +
      "</h1>\n<nav>vitalsd " + escape_html(overview.version) + ", " + iso_time(overview.now) +
      " &nbsp; <a href=metrics>metrics</a> &nbsp; <a href=\"api/v1/status\">JSON</a>"
      " &nbsp; <a href=\"-/healthy\">health</a> &nbsp; <a href=\"-/ready\">readiness</a></nav>\n";
  for (const std::string& notice : overview.notices) {
    out += "<p class=notice>" + marked(Verdict::warning) + escape_html(notice) + "</p>\n";
  }
  out += search(overview);
  out +=
      "<table><thead><tr><th>State</th><th>Probe</th><th>Checks</th><th>Last run</th>"
      "<th>Last success</th><th>Recent runs</th></tr></thead><tbody>\n";
  for (const auto& [verdict, probe] : rows) append_row(out, *probe, verdict, overview.now);
  return out + "</tbody></table></body></html>\n";
}

}  // namespace vitalsd
