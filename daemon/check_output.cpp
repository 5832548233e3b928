#include "daemon/check_output.hpp"

#include "daemon/units.hpp"
#include "exporter/web/verdict.hpp"

#include <algorithm>
#include <cctype>
#include <chrono>
#include <cstddef>
#include <ranges>
#include <string_view>

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace vitalsd {
namespace {

constexpr std::string_view kReset = "\x1b[0m";

std::string_view color(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "\x1b[32m";
    case Verdict::warning:
      return "\x1b[33m";
    case Verdict::critical:
      return "\x1b[31m";
    case Verdict::unknown:
      break;
  }
  return "\x1b[35m";
}

std::string counts(const std::vector<ProbeView>& probes) {
  if (probes.empty()) return summary(probes);
  return fmt::format("{} {}: {}", probes.size(), probes.size() == 1 ? "probe" : "probes",
                     summary(probes));
}

// The failure and the checks that are not ok.
std::vector<std::string> problems(const ProbeView& probe) {
  std::vector<std::string> out;
  if (!probe.reason.empty()) out.push_back(fmt::format("{}: {}", probe.reason, probe.detail));
  for (const CheckView& check : probe.checks) {
    if (check.status != Status::ok) out.push_back(check.name + ' ' + describe(check));
  }
  return out;
}

std::string replaced(std::string_view text, char from, std::string_view to) {
  std::string out;
  for (const char c : text) {
    if (c == from) {
      out += to;
    } else {
      out += c;
    }
  }
  return out;
}

// The content of a cell of a table in Markdown, which may contain HTML.
std::string markdown(std::string_view text) {
  const std::string html = replaced(replaced(text, '&', "&amp;"), '<', "&lt;");
  return replaced(replaced(html, '\n', " "), '|', "\\|");
}

}  // namespace

std::string check_text(const std::vector<ProbeView>& probes, const ProbeFilter& shown,
                       bool colored) {
  const auto marked = [&](Verdict verdict) {
    return colored ? fmt::format("{}{}{}", color(verdict), mark(verdict), kReset)
                   : std::string(mark(verdict));
  };
  std::size_t name_width = 0;
  std::size_t kind_width = 0;
  for (const ProbeView& probe : probes) {
    name_width = std::max(name_width, probe.name.size());
    kind_width = std::max(kind_width, probe.kind.size());
  }
  std::string out;
  for (const ProbeView& probe : probes) {
    if (!matches(shown, probe)) continue;
    out += fmt::format("{} {:<{}}  {:<{}}  {}", marked(verdict(probe)), probe.name, name_width,
                       probe.kind, kind_width, probe.target);
    if (probe.last_run) {
      out += "  " + format_duration(std::chrono::duration<double>(probe.duration_seconds));
    }
    out += '\n';
    if (!probe.reason.empty()) out += fmt::format("    {}: {}\n", probe.reason, probe.detail);
    for (const CheckView& check : probe.checks) {
      out += fmt::format("    {} {} {}\n", marked(verdict(check)), check.name, describe(check));
    }
    for (const auto line : std::views::split(probe.message, '\n')) {
      if (!line.empty()) out += fmt::format("    {}\n", std::string_view(line));
    }
  }
  return out + (out.empty() ? "" : "\n") + counts(probes) + '\n';
}

std::string check_nagios(const std::vector<ProbeView>& probes, const ProbeFilter& shown) {
  std::string name(verdict_name(verdict(probes)));
  for (char& c : name) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  std::string out = name + " - " + summary(probes);
  std::size_t named = 0;
  for (const ProbeView& probe : probes) {
    if (verdict(probe) == Verdict::ok || waits_for_report(probe)) continue;
    constexpr std::size_t kMaxNamed = 3;
    if (named++ == kMaxNamed) {
      out += ", ...";
      break;
    }
    out += (named == 1 ? ": " : ", ") + probe.name;
  }
  out += " |";
  for (const Verdict each : kVerdicts) {
    const auto is_each = [&](const ProbeView& probe) { return verdict(probe) == each; };
    out += fmt::format(" {}={}", verdict_name(each), std::ranges::count_if(probes, is_each));
  }
  out += '\n';
  for (const ProbeView& probe : probes) {
    if (!matches(shown, probe)) continue;
    for (const std::string& problem : problems(probe)) {
      // A bar would begin performance data.
      const std::string line = fmt::format("{}: {}", probe.name, problem);
      out += replaced(replaced(line, '\n', " "), '|', "/") + '\n';
    }
  }
  return out;
}

std::string check_markdown(const std::vector<ProbeView>& probes, const ProbeFilter& shown) {
  std::string out = "| State | Probe | Kind | Target | Problems |\n|---|---|---|---|---|\n";
  for (const ProbeView& probe : probes) {
    if (!matches(shown, probe)) continue;
    out += fmt::format("| {} | {} | {} | {} | {} |\n", verdict_name(verdict(probe)),
                       markdown(probe.name), probe.kind, markdown(probe.target),
                       markdown(fmt::format("{}", fmt::join(problems(probe), "; "))));
  }
  return out + '\n' + counts(probes) + '\n';
}

}  // namespace vitalsd
