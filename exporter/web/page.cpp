#include "exporter/web/page.hpp"

#include "exporter/web/html.hpp"

#include <algorithm>
#include <cstdint>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

// On a narrow screen, where the table has no head, cells of the class `v` show `name`.
std::string cell(std::string_view name, const std::string& content,
                 std::string_view classes = "n v") {
  return "<td data-name=\"" + std::string(name) +
         (classes.empty() ? "\">" : "\" class=\"" + std::string(classes) + "\">") + content +
         "</td>";
}

std::string state_cell(const ProbeView& probe, Verdict verdict, ProbeView::Time now) {
  std::string out = named(verdict);
  if (probe.since) {
    out += "<small>for " + timed(*probe.since, age(now - *probe.since)) + "</small>";
  }
  return out;
}

std::string probe_cell(const ProbeView& probe) {
  std::string out = "<a href=\"probes/" + encode_query(probe.name) + "\">" +
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
         ", every " + exact(probe.interval) + "</small>";
}

std::string last_success_cell(const ProbeView& probe, ProbeView::Time now) {
  if (probe.last_success) return ago(*probe.last_success, now);
  return probe.last_run ? "never" : "";
}

void append_row(std::string& out, const ProbeView& probe, Verdict verdict, ProbeView::Time now) {
  out += "<tr>" + cell("State", state_cell(probe, verdict, now), "n") +
         cell("Probe", probe_cell(probe), "") + cell("Checks", checks_cell(probe), "") +
         cell("Last run", last_run_cell(probe, now)) +
         cell("Last success", last_success_cell(probe, now)) +
         cell("Recent runs", history(probe.history)) + "</tr>\n";
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
  const Verdict whole = verdict(overview);
  const std::string text = headline(overview);
  std::string title = "vitalsd: " + std::string(verdict_name(whole)) + ": " + text;
  if (overview.filter != ProbeFilter()) {
    title += " (" + escape_html(filter_text(overview.filter)) + ')';
  }
  std::string out = page_start({.title = std::move(title), .verdict = whole}) + "<h1>" +
                    named(whole) + ": " + text + "</h1>\n<nav><span class=d>vitalsd " +
                    escape_html(overview.version) + ", " + iso_time(overview.now) +
                    "</span> &nbsp; <a href=events>changes</a><a href=metrics>metrics</a>"
                    "<a href=\"api/v1/status\">JSON</a><a href=\"-/healthy\">health</a>"
                    "<a href=\"-/ready\">readiness</a></nav>\n" +
                    notices_html(overview) +
                    filter_form(overview.filter, std::to_string(overview.hidden), "./");
  out +=
      "<table><thead><tr><th>State</th><th>Probe</th><th>Checks</th><th>Last run</th>"
      "<th>Last success</th><th>Recent runs</th></tr></thead><tbody>\n";
  for (const auto& [verdict, probe] : rows) append_row(out, *probe, verdict, overview.now);
  return out + "</tbody></table>" + std::string(kPageEnd);
}

}  // namespace vitalsd
