#include "exporter/web/html.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

namespace vitalsd {
namespace {

constexpr std::string_view kStyle = R"css(
:root { color-scheme: light dark; --line: #8884; --dim: #656d76; --ok: #1a7f37; --warn: #9a6700;
  --bad: #cf222e; }
@media (prefers-color-scheme: dark) {
  :root { --dim: #9198a1; --ok: #3fb950; --warn: #d29922; --bad: #f85149; } }
body { font: 15px/1.45 system-ui, sans-serif; margin: 2rem auto; max-width: 80rem; padding: 0 1rem;
  overflow-wrap: anywhere; }
h1 { font-size: 1.4rem; margin: 0 0 .2rem; }
h2 { font-size: 1.05rem; margin: 1.8rem 0 .4rem; }
nav { color: var(--dim); margin-bottom: 1.5rem; }
nav a { margin-right: .8em; }
form { margin-bottom: 1rem; }
input { font: inherit; width: 18rem; max-width: 100%; box-sizing: border-box; }
.notice { white-space: pre-wrap; }
table { border-collapse: collapse; width: 100%; }
th { text-align: left; font-weight: 600; color: var(--dim); font-size: .85rem; }
th, td { padding: .45rem .8rem .45rem 0; border-bottom: 1px solid var(--line); vertical-align: top; }
time, .l { white-space: nowrap; }
.n { overflow-wrap: normal; white-space: nowrap; }
.w { width: 100%; }
.p { min-width: 14rem; }
nav span, nav a, form a { display: inline-block; }
a { color: inherit; }
small { color: var(--dim); display: block; }
small.e { color: var(--bad); }
.l { border: 1px solid var(--line); border-radius: 3px; padding: 0 .3em; }
summary { color: var(--dim); font-size: .85rem; }
pre { margin: 0; max-height: 20rem; overflow: auto; white-space: pre-wrap; overflow-wrap: anywhere; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .3rem 1.2rem; margin: 0; }
dt { color: var(--dim); }
dd { margin: 0; }
.ok { color: var(--ok); } .warning { color: var(--warn); } .critical { color: var(--bad); }
.unknown, .d { color: var(--dim); }
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
  .n { overflow-wrap: anywhere; white-space: normal; }
  td.v::before { content: attr(data-name) ": "; color: var(--dim); }
  td.n small { display: inline; margin-left: .6em; }
  .w { width: auto; }
  .p { min-width: 0; }
  .h, .l { overflow-wrap: anywhere; white-space: normal; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
}
)css";

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

std::string age(std::chrono::system_clock::duration duration) {
  const auto seconds =
      std::max<std::int64_t>(0, std::chrono::duration_cast<std::chrono::seconds>(duration).count());
  if (seconds < 60) return std::to_string(seconds) + " s";
  if (seconds < 3600) return std::to_string(seconds / 60) + " min";
  if (seconds < 48 * 3600) return std::to_string(seconds / 3600) + " h";
  return std::to_string(seconds / 86400) + " d";
}

std::string exact(std::chrono::milliseconds duration) {
  using namespace std::chrono_literals;
  const auto text = [&](std::chrono::milliseconds unit, const char* name) {
    return std::to_string(duration / unit) + ' ' + name;
  };
  if (duration % 1h == 0ms) return text(1h, "h");
  if (duration % 1min == 0ms) return text(1min, "min");
  return duration % 1s == 0ms ? text(1s, "s") : text(1ms, "ms");
}

std::string duration_text(double seconds) {
  std::array<char, 32> buffer{};
  const bool small = seconds < 1;
  const auto result = std::to_chars(buffer.data(), buffer.data() + buffer.size(),
                                    small ? seconds * 1000 : seconds, std::chars_format::fixed, 1);
  return std::string(buffer.data(), result.ptr) + (small ? " ms" : " s");
}

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

std::string named(Verdict verdict) {
  const std::string name(verdict_name(verdict));
  return "<b class=" + name + '>' + name + "</b>";
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

// The address of the icon contains the verdict, because browsers keep icons.
std::string page_start(const PageHead& head) {
  return "<!doctype html>\n<html lang=en><head><meta charset=utf-8>"
         "<meta name=viewport content=\"width=device-width\">"
         "<link rel=icon type=\"image/svg+xml\" href=\"" +
         std::string(head.root) + "favicon.ico?" + std::string(verdict_name(head.verdict)) +
         "\"><title>" + head.title + "</title><style>" + std::string(kStyle) +
         "</style></head><body>\n";
}

std::string notices_html(const Overview& overview) {
  std::string out;
  for (const std::string& notice : overview.notices) {
    out += "<p class=notice>" + marked(Verdict::warning) + escape_html(notice) + "</p>\n";
  }
  return out;
}

std::string query_of(const ProbeFilter& filter) {
  std::string out;
  for (const auto& [name, value] : to_parameters(filter)) {
    out += (out.empty() ? "?" : "&") + encode_query(name) + '=' + encode_query(value);
  }
  return escape_html(out);
}

std::string filter_form(const ProbeFilter& filter, const std::string& hidden,
                        std::string_view self) {
  std::string out =
      "<form><input type=search name=q aria-label=Search placeholder=\"name, target, label, "
      "error\" value=\"" +
      escape_html(filter.text) + "\">";
  ProbeFilter other = filter;
  other.text.clear();
  for (const auto& [name, value] : to_parameters(other)) {
    out += "<input type=hidden name=\"" + escape_html(name) + "\" value=\"" + escape_html(value) +
           "\">";
  }
  other = filter;
  other.states = {Verdict::critical, Verdict::unknown, Verdict::warning};
  out += " <a href=\"" + query_of(other) + "\">not ok</a>";
  for (const Verdict verdict : kVerdicts) {
    other.states = {verdict};
    out += " <a href=\"" + query_of(other) + "\">" + std::string(verdict_name(verdict)) + "</a>";
  }
  if (filter == ProbeFilter()) return out + "</form>\n";
  out += " <a href=\"" + std::string(self) + "\">all</a> (" + hidden + " not shown by " +
         escape_html(filter_text(filter)) + ')';
  return out + "</form>\n";
}

}  // namespace vitalsd
