#include "exporter/web/page.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdint>
#include <ctime>
#include <tuple>

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>

namespace vitalsd {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --line: #8884; --dim: #888; --ok: #1a7f37; --warn: #9a6700;
  --bad: #cf222e; }
@media (prefers-color-scheme: dark) { :root { --ok: #3fb950; --warn: #d29922; --bad: #f85149; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; }
nav { color: var(--dim); margin-bottom: 1.5rem; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem; }
th, td { padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
td.n { white-space: nowrap; }
a { color: inherit; }
small { color: var(--dim); display: block; overflow-wrap: anywhere; }
small.e { color: var(--bad); }
summary { color: var(--dim); font-size: .85rem; }
pre { margin: 0; max-height: 20rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
b.ok, i.ok { color: var(--ok); } b.warning, i.warning { color: var(--warn); }
b.failed, b.stuck, b.critical, i.critical { color: var(--bad); } b.pending { color: var(--dim); }
i { font-style: normal; }
.h { letter-spacing: 1px; font-family: monospace; white-space: nowrap; }
.h .o { color: var(--ok); } .h .f { color: var(--bad); } .h .s { color: var(--dim); }
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

std::string iso_time(ProbeView::Time time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  std::array<char, 32> buffer{};
  const std::size_t size = std::strftime(buffer.data(), buffer.size(), "%Y-%m-%dT%H:%M:%SZ", &utc);
  return {buffer.data(), size};
}

std::string_view mark(Status status) {
  switch (status) {
    case Status::ok:
      return "✓";
    case Status::warning:
      return "!";
    case Status::critical:
      return "✗";
  }
  return "";
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

// The order of rows: failures, then failed checks by severity, then the rest.
int rank(const ProbeView& probe) {
  if (probe.state == ProbeView::State::stuck || probe.state == ProbeView::State::failed) return 0;
  Status worst = Status::ok;
  for (const CheckView& check : probe.checks) worst = std::max(worst, check.status);
  return 3 - static_cast<int>(worst) + (probe.state == ProbeView::State::pending ? 1 : 0);
}

void append_row(std::string& out, const ProbeView& probe, ProbeView::Time now) {
  const std::string state(state_name(probe.state));
  out += "<tr><td class=n><b class=" + state + ">" + state + "</b>";
  if (probe.since) out += "<small>for " + age(now - *probe.since) + "</small>";
  out += "</td><td><a href=\"probes/" + escape_html(probe.name) + "/metrics\">" +
         escape_html(probe.name) + "</a><small>" + escape_html(probe.kind) + " " +
         escape_html(probe.target) + "</small>";
  if (!probe.reason.empty()) {
    out += "<small class=e>" + escape_html(probe.reason) + ": " + escape_html(probe.detail) +
           "</small>";
  }
  if (!probe.message.empty()) {
    out += "<details><summary>message</summary><pre>" + escape_html(probe.message) +
           "</pre></details>";
  }
  out += "</td><td>";
  for (const CheckView& check : probe.checks) {
    out += "<i class=" + std::string(status_name(check.status)) + ">" +
           std::string(mark(check.status)) + "</i> " + escape_html(check.name) + " " +
           escape_html(check.reading);
    if (!check.object.empty()) out += " (" + escape_html(check.object) + ")";
    if (!check.threshold.empty())
      out += "<small>" + escape_html(check.threshold) + "</small>";
    else
      out += "<br>";
  }
  out += "</td><td class=n>";
  if (probe.last_run) {
    out += age(now - *probe.last_run) + " ago<small>took " + duration_text(probe.duration_seconds) +
           ", every " + age(probe.interval) + "</small>";
  }
  out += "</td><td class=n>";
  if (probe.last_success)
    out += age(now - *probe.last_success) + " ago";
  else if (probe.last_run)
    out += "never";
  out += "</td><td>" + history(probe.history) + "</td></tr>\n";
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

std::string status_page(const Overview& overview) {
  const auto& [probes, version, now, healthy, leads, notices] = overview;
  std::vector<const ProbeView*> sorted;
  for (const ProbeView& probe : probes) sorted.push_back(&probe);
  std::ranges::sort(sorted, {}, [](const ProbeView* p) {
    return std::tuple(rank(*p), std::string_view(p->name));
  });
  const auto ok = std::ranges::count(probes, ProbeView::State::ok, &ProbeView::state);
  const std::string title =
      !healthy ? "the probe loop does not respond: all states are stale"
      : !leads ? "standby: another replica is the leader"
               : std::to_string(ok) + " of " + std::to_string(probes.size()) + " probes ok";
  std::string out =
      "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
      "<meta name=viewport content=\"width=device-width\">"
      "<title>vitalsd: " +
      title + "</title><style>" + std::string(kStyle) +
      "</style></head><body>\n"
      "<h1>" +
      title +
      "</h1>\n"
      "<nav>vitalsd " +
      escape_html(version) + ", " + iso_time(now) +
      " &nbsp; <a href=metrics>metrics</a> &nbsp; <a href=\"api/v1/status\">JSON</a>"
      " &nbsp; <a href=\"-/healthy\">health</a> &nbsp; <a href=\"-/ready\">readiness</a></nav>\n";
  for (const std::string& notice : notices) {
    out += "<p><i class=warning>!</i> " + escape_html(notice) + "</p>\n";
  }
  out +=
      "<table><thead><tr><th>State</th><th>Probe</th><th>Checks</th><th>Last run</th>"
      "<th>Last success</th><th>Recent runs</th></tr></thead><tbody>\n";
  for (const ProbeView* probe : sorted) append_row(out, *probe, now);
  return out + "</tbody></table></body></html>\n";
}

std::string status_json(const Overview& overview) {
  const auto& [probes, version, now, healthy, leads, notices] = overview;
  boost::json::array list;
  for (const ProbeView& probe : probes) {
    boost::json::object& row = list.emplace_back(boost::json::object()).as_object();
    row["name"] = probe.name;
    row["kind"] = probe.kind;
    row["target"] = probe.target;
    row["interval_seconds"] = std::chrono::duration<double>(probe.interval).count();
    row["state"] = std::string(state_name(probe.state));
    if (probe.since) row["since"] = iso_time(*probe.since);
    if (!probe.reason.empty()) {
      row["reason"] = probe.reason;
      row["error"] = probe.detail;
    }
    if (!probe.message.empty()) row["message"] = probe.message;
    if (probe.last_run) {
      row["last_run"] = iso_time(*probe.last_run);
      row["duration_seconds"] = probe.duration_seconds;
    }
    if (probe.last_success) row["last_success"] = iso_time(*probe.last_success);
    boost::json::array& checks = row["checks"].emplace_array();
    for (const CheckView& check : probe.checks) {
      boost::json::object& item = checks.emplace_back(boost::json::object()).as_object();
      item["name"] = check.name;
      item["status"] = std::string(status_name(check.status));
      item["reading"] = check.reading;
      if (!check.object.empty()) item["object"] = check.object;
      if (!check.threshold.empty()) item["threshold"] = check.threshold;
    }
  }
  boost::json::object document;
  document["version"] = std::string(version);
  document["time"] = iso_time(now);
  document["healthy"] = healthy;
  document["leads"] = leads;
  document["notices"] = boost::json::array(notices.begin(), notices.end());
  document["probes"] = std::move(list);
  return boost::json::serialize(document) + '\n';
}

}  // namespace vitalsd
