#include "daemon/probe_report.hpp"

#include "daemon/log.hpp"
#include "daemon/units.hpp"
#include "exporter/model/outcome.hpp"
#include "exporter/model/text_format.hpp"

#include <algorithm>

namespace vitalsd {
namespace {

using SystemClock = std::chrono::system_clock;

ProbeView named(const std::string& name) {
  ProbeView view;
  view.name = name;
  return view;
}

const CheckView* find(const std::vector<CheckView>& checks, std::string_view name) {
  const auto found = std::ranges::find(checks, name, &CheckView::name);
  return found == checks.end() ? nullptr : &*found;
}

std::string text(Verdict verdict) { return std::string(verdict_name(verdict)); }

}  // namespace

ProbeReport::ProbeReport(Board& board, const std::string& name) : row_(board, named(name)) {}

void ProbeReport::configure(Settings settings, bool same_target) {
  // A configuration may have bytes that are not UTF-8, which JSON does not allow, and characters
  // that control a terminal. Texts of targets are safe already (SampleSet::shown()).
  settings.target = shown_text(settings.target, std::string::npos);
  for (auto& [name, value] : settings.labels) value = shown_text(value, std::string::npos);
  row_.update([&](ProbeView& view) {
    view.kind = settings.kind;
    view.target = std::move(settings.target);
    view.labels = std::move(settings.labels);
    view.options = std::move(settings.options);
    view.interval = settings.interval;
    view.timeout = settings.timeout;
    if (same_target) return;
    view.state = ProbeView::State::pending;
    view.reason = "pending";
    view.detail = "has not run yet";
    view.message.clear();
    view.checks.clear();
    view.since.reset();
    view.last_run.reset();
    view.down_since.reset();
    view.duration_seconds = 0;
    view.history = 0;
    update_verdict(view);
  });
  if (!same_target) row_.remove_events();
}

void ProbeReport::set_next_run(Time time) {
  row_.update([&](ProbeView& view) { view.next_run = time; });
}

void ProbeReport::set_last_success(std::optional<Time> time) {
  row_.update([&](ProbeView& view) { view.last_success = time; });
}

void ProbeReport::add_run(Run run) {
  const Before before{view().state, view().reason, verdict_};
  const std::optional<Time> was_down_since = view().down_since;
  std::vector<CheckView> checks_before;
  row_.update([&](ProbeView& view) {
    view.last_run = SystemClock::now();
    view.last_success = run.last_success;
    view.duration_seconds = run.duration.count();
    view.message = std::move(run.message);
    view.history = view.history << 2 | (run.failure ? 2U : 1U);
    view.reason = {};
    view.detail.clear();
    if (run.failure) {
      view.state = ProbeView::State::failed;
      view.reason = reason_name(run.failure->reason);
      view.detail = std::move(run.failure->detail);
    } else if (run.waits) {
      view.state = ProbeView::State::pending;
      view.reason = "pending";
      view.detail = "no report has arrived yet";
    } else {
      view.state = ProbeView::State::ok;
    }
    if (view.state != ProbeView::State::failed) {
      view.down_since.reset();
    } else if (!view.down_since) {
      view.down_since = view.last_run;
    }
    if (!run.keeps_checks) checks_before = std::exchange(view.checks, std::move(run.checks));
    update_verdict(view);
  });
  record_run(before, was_down_since);
  if (!run.keeps_checks) record_checks(checks_before);
}

void ProbeReport::add_skipped(bool is_stale, bool keeps_checks) {
  const bool was_ok = view().state == ProbeView::State::ok;
  row_.update([&](ProbeView& view) {
    view.history = view.history << 2 | 3U;
    if (!keeps_checks) view.checks.clear();
    if (is_stale && was_ok) {
      expire(view, "no run has ended recently: due times are skipped");
      view.down_since = view.last_run;
    }
    update_verdict(view);
  });
  if (is_stale && was_ok) {
    record({.what = ProbeEvent::What::stale, .reason = view().reason, .text = view().detail});
  }
}

void ProbeReport::add_stuck(bool keeps_checks) {
  const bool was_stuck = view().state == ProbeView::State::stuck;
  row_.update([&](ProbeView& view) {
    view.history = view.history << 2 | 3U;
    if (!keeps_checks) view.checks.clear();
    view.state = ProbeView::State::stuck;
    if (!view.down_since) view.down_since = SystemClock::now();
    update_verdict(view);
  });
  if (!was_stuck) {
    record({.what = ProbeEvent::What::stuck, .text = "a cancelled run does not end"});
  }
}

void ProbeReport::update_verdict(ProbeView& view) {
  const Verdict now = vitalsd::verdict(view);
  if (now == verdict_ && (view.since || !view.last_run)) return;
  verdict_ = now;
  if (view.last_run) view.since = SystemClock::now();
}

// A first success is logged for debugging only, because a start would log a line for each probe.
void ProbeReport::record_run(const Before& before, std::optional<Time> was_down_since) {
  const ProbeView& now = view();
  const bool has_changed =
      before.state != now.state || before.reason != now.reason || before.verdict != verdict_;
  if (!has_changed) return;
  if (now.state == ProbeView::State::failed) {
    record({.what = ProbeEvent::What::failed, .reason = now.reason, .text = now.detail});
  } else if (was_down_since) {
    record({.what = ProbeEvent::What::recovered,
            .after =
                std::max(std::chrono::milliseconds(0), std::chrono::ceil<std::chrono::milliseconds>(
                                                           SystemClock::now() - *was_down_since))});
  } else if (before.state != now.state) {
    log::debug("probe ran",
               {{"probe", now.name}, {"kind", std::string(now.kind)}, {"state", text(verdict_)}});
  }
}

// A check without a previous result counts as ok. A result that disappears is recorded as unknown,
// except if it was ok, or if the probe failed, which has its own record.
void ProbeReport::record_checks(const std::vector<CheckView>& before) {
  for (const CheckView& check : view().checks) {
    const CheckView* const old = find(before, check.name);
    if (check.status == (old == nullptr ? Status::ok : old->status)) continue;
    record(
        {.what = ProbeEvent::What::check, .check = check, .check_state = vitalsd::verdict(check)});
  }
  if (view().state == ProbeView::State::failed) return;
  for (const CheckView& check : before) {
    if (check.status == Status::ok || find(view().checks, check.name) != nullptr) continue;
    record({.what = ProbeEvent::What::check, .check = check, .check_state = Verdict::unknown});
  }
}

// The only place that logs changes and shows them on the pages.
void ProbeReport::record(ProbeEvent event) {
  const ProbeView& now = view();
  event.probe = now.name;
  event.time = SystemClock::now();
  event.state = verdict_;
  const std::string kind(now.kind);
  const std::string state = text(verdict_);
  switch (event.what) {
    case ProbeEvent::What::failed:
      log::warn("probe failed", {{"probe", now.name},
                                 {"kind", kind},
                                 {"target", now.target},
                                 {"state", state},
                                 {"reason", std::string(event.reason)},
                                 {"error", event.text}});
      break;
    case ProbeEvent::What::recovered:
      log::info("probe recovered", {{"probe", now.name},
                                    {"kind", kind},
                                    {"state", state},
                                    {"after", format_duration(*event.after)}});
      break;
    case ProbeEvent::What::stale:
      log::warn("probe is stale",
                {{"probe", now.name}, {"kind", kind}, {"state", state}, {"error", event.text}});
      break;
    case ProbeEvent::What::stuck:
      log::error("probe is stuck: " + event.text,
                 {{"probe", now.name}, {"kind", kind}, {"state", state}});
      break;
    case ProbeEvent::What::check: {
      const auto write = event.check_state == Verdict::ok ? log::info : log::warn;
      write("check changed",
            {{"probe", now.name},
             {"kind", kind},
             {"check", event.check->name},
             {"check_state", text(event.check_state)},
             {"reading", event.check_state == Verdict::unknown ? "none" : describe(*event.check)},
             {"state", state}});
      break;
    }
  }
  row_.add_event(std::move(event));
}

}  // namespace vitalsd
