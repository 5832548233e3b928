#include "daemon/probe_report.hpp"

#include "daemon/log.hpp"
#include "daemon/units.hpp"
#include "exporter/model/outcome.hpp"

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
  row_.update([&](ProbeView& view) {
    view.kind = settings.kind;
    view.target = std::move(settings.target);
    view.labels = std::move(settings.labels);
    view.interval = settings.interval;
    if (same_target) return;
    view.state = ProbeView::State::pending;
    view.reason = "pending";
    view.detail = "has not run yet";
    view.message.clear();
    view.checks.clear();
    view.since.reset();
    view.last_run.reset();
    view.duration_seconds = 0;
    view.history = 0;
    down_since_.reset();
    update_verdict(view);
  });
}

void ProbeReport::set_last_success(std::optional<Time> time) {
  row_.update([&](ProbeView& view) { view.last_success = time; });
}

void ProbeReport::add_run(Run run) {
  const Before before{view().state, view().reason, verdict_};
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
    if (!run.keeps_checks) checks_before = std::exchange(view.checks, std::move(run.checks));
    update_verdict(view);
  });
  log_run(before);
  if (!run.keeps_checks) log_checks(checks_before);
  if (view().state != ProbeView::State::failed)
    down_since_.reset();
  else if (!down_since_)
    down_since_ = view().last_run;
}

void ProbeReport::add_skipped(bool is_stale, bool keeps_checks) {
  const bool was_ok = view().state == ProbeView::State::ok;
  row_.update([&](ProbeView& view) {
    view.history = view.history << 2 | 3U;
    if (!keeps_checks) view.checks.clear();
    if (is_stale && was_ok) expire(view, "no run has ended recently: due times are skipped");
    update_verdict(view);
  });
  if (!is_stale || !was_ok) return;
  down_since_ = view().last_run;
  log::warn("probe is stale", {{"probe", view().name},
                               {"kind", std::string(view().kind)},
                               {"state", text(verdict_)},
                               {"error", view().detail}});
}

void ProbeReport::add_stuck(bool keeps_checks) {
  const bool was_stuck = view().state == ProbeView::State::stuck;
  row_.update([&](ProbeView& view) {
    view.history = view.history << 2 | 3U;
    if (!keeps_checks) view.checks.clear();
    view.state = ProbeView::State::stuck;
    update_verdict(view);
  });
  if (was_stuck) return;
  if (!down_since_) down_since_ = SystemClock::now();
  log::error(
      "probe is stuck: a cancelled run does not end",
      {{"probe", view().name}, {"kind", std::string(view().kind)}, {"state", text(verdict_)}});
}

void ProbeReport::update_verdict(ProbeView& view) {
  const Verdict now = vitalsd::verdict(view);
  if (now == verdict_ && (view.since || !view.last_run)) return;
  verdict_ = now;
  if (view.last_run) view.since = SystemClock::now();
}

// A first success is logged for debugging only, because a start would log a line for each probe.
void ProbeReport::log_run(const Before& before) const {
  const ProbeView& now = view();
  const bool has_changed =
      before.state != now.state || before.reason != now.reason || before.verdict != verdict_;
  if (!has_changed) return;
  if (now.state == ProbeView::State::failed) {
    log::warn("probe failed", {{"probe", now.name},
                               {"kind", std::string(now.kind)},
                               {"target", now.target},
                               {"state", text(verdict_)},
                               {"reason", std::string(now.reason)},
                               {"error", now.detail}});
  } else if (down_since_) {
    log::info("probe recovered", {{"probe", now.name},
                                  {"kind", std::string(now.kind)},
                                  {"state", text(verdict_)},
                                  {"after", format_duration(SystemClock::now() - *down_since_)}});
  } else if (before.state != now.state) {
    log::debug("probe ran",
               {{"probe", now.name}, {"kind", std::string(now.kind)}, {"state", text(verdict_)}});
  }
}

// A check without a previous result counts as ok. A result that disappears is logged as unknown,
// except if it was ok, or if the probe failed, which has its own line.
void ProbeReport::log_checks(const std::vector<CheckView>& before) const {
  const auto line = [&](const CheckView& check, Verdict state) {
    const auto write = state == Verdict::ok ? log::info : log::warn;
    write("check changed", {{"probe", view().name},
                            {"kind", std::string(view().kind)},
                            {"check", check.name},
                            {"check_state", text(state)},
                            {"reading", state == Verdict::unknown ? "none" : describe(check)},
                            {"state", text(verdict_)}});
  };
  for (const CheckView& check : view().checks) {
    const CheckView* const old = find(before, check.name);
    if (check.status != (old == nullptr ? Status::ok : old->status)) {
      line(check, vitalsd::verdict(check));
    }
  }
  if (view().state == ProbeView::State::failed) return;
  for (const CheckView& check : before) {
    const bool is_gone = find(view().checks, check.name) == nullptr;
    if (is_gone && check.status != Status::ok) line(check, Verdict::unknown);
  }
}

}  // namespace vitalsd
