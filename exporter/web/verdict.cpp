#include "exporter/web/verdict.hpp"

#include "exporter/model/outcome.hpp"

#include <algorithm>
#include <utility>

namespace vitalsd {
namespace {

constexpr std::array kNotObserved = {Reason::auth, Reason::permission, Reason::config,
                                     Reason::internal};

Verdict more_severe(Verdict a, Verdict b) {
  return std::ranges::find(kVerdicts, a) < std::ranges::find(kVerdicts, b) ? a : b;
}

Verdict verdict_of_run(const ProbeView& probe) {
  switch (probe.state) {
    case ProbeView::State::ok:
      return Verdict::ok;
    case ProbeView::State::pending:
    case ProbeView::State::stale:
      return Verdict::unknown;
    case ProbeView::State::failed:
    case ProbeView::State::stuck:
      break;
  }
  const bool is_observed =
      std::ranges::find(kNotObserved, probe.reason, reason_name) == kNotObserved.end();
  return is_observed ? Verdict::critical : Verdict::unknown;
}

}  // namespace

std::string_view verdict_name(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "ok";
    case Verdict::warning:
      return "warning";
    case Verdict::critical:
      return "critical";
    case Verdict::unknown:
      return "unknown";
  }
  return "";
}

std::string_view mark(Verdict verdict) {
  switch (verdict) {
    case Verdict::ok:
      return "✓";
    case Verdict::warning:
      return "!";
    case Verdict::critical:
      return "✗";
    case Verdict::unknown:
      return "?";
  }
  return "";
}

Verdict verdict(const CheckView& check) {
  switch (check.status) {
    case Status::ok:
      return Verdict::ok;
    case Status::warning:
      return Verdict::warning;
    case Status::critical:
      return Verdict::critical;
  }
  return Verdict::unknown;
}

Verdict verdict(const ProbeView& probe) {
  Verdict worst = verdict_of_run(probe);
  for (const CheckView& check : probe.checks) worst = more_severe(worst, verdict(check));
  return worst;
}

bool waits_for_report(const ProbeView& probe) {
  return probe.state == ProbeView::State::pending && probe.last_run;
}

Verdict verdict(const std::vector<ProbeView>& probes) {
  Verdict worst = probes.empty() ? Verdict::unknown : Verdict::ok;
  for (const ProbeView& probe : probes) {
    if (!waits_for_report(probe)) worst = more_severe(worst, verdict(probe));
  }
  return worst;
}

std::string summary(const std::vector<ProbeView>& probes) {
  std::array<std::size_t, kVerdicts.size()> counts{};
  std::size_t waiting = 0;
  for (const ProbeView& probe : probes) {
    ++(waits_for_report(probe) ? waiting : counts.at(static_cast<std::size_t>(verdict(probe))));
  }
  std::string out;
  const auto add = [&](std::size_t count, std::string_view name) {
    if (count == 0) return;
    out += (out.empty() ? "" : ", ") + std::to_string(count) + ' ' + std::string(name);
  };
  for (const Verdict verdict : kVerdicts) {
    add(counts.at(static_cast<std::size_t>(verdict)), verdict_name(verdict));
  }
  add(waiting, "waiting");
  return out.empty() ? "no probes" : out;
}

std::string describe(const CheckView& check) {
  std::string out = check.reading;
  if (!check.object.empty()) out += " (" + check.object + ')';
  if (!check.threshold.empty()) out += ", " + check.threshold;
  return out;
}

void expire(ProbeView& probe, std::string why) {
  probe.state = ProbeView::State::stale;
  probe.reason = "stale";
  probe.detail = std::move(why);
  probe.checks.clear();
}

}  // namespace vitalsd
