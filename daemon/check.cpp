#include "daemon/check.hpp"

#include "daemon/board.hpp"
#include "daemon/gate.hpp"
#include "daemon/limits.hpp"
#include "daemon/log.hpp"
#include "daemon/reload.hpp"
#include "daemon/scheduler.hpp"
#include "daemon/self_metrics.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>
#include <ranges>
#include <string_view>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/serialize.hpp>
#include <fmt/format.h>

namespace vitalsd {
namespace {

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

Verdict to_verdict(Status status) { return static_cast<Verdict>(static_cast<int>(status)); }

Verdict worse(Verdict a, Verdict b) {
  constexpr std::array kRank = {0, 1, 3,
                                2};  // indexed by exit code; unknown is less severe than critical
  return kRank.at(static_cast<std::size_t>(a)) >= kRank.at(static_cast<std::size_t>(b)) ? a : b;
}

}  // namespace

Verdict verdict(const ProbeView& probe) {
  Verdict worst = Verdict::ok;
  if (probe.state == ProbeView::State::pending) worst = Verdict::unknown;
  if (probe.state == ProbeView::State::failed || probe.state == ProbeView::State::stuck) {
    constexpr std::array<std::string_view, 4> kNotObserved = {"auth", "permission", "config",
                                                              "internal"};
    const bool is_unobserved = std::ranges::find(kNotObserved, probe.reason) != kNotObserved.end();
    worst = is_unobserved ? Verdict::unknown : Verdict::critical;
  }
  for (const CheckView& check : probe.checks) worst = worse(worst, to_verdict(check.status));
  return worst;
}

Verdict verdict(const std::vector<ProbeView>& probes) {
  Verdict worst = Verdict::ok;
  for (const ProbeView& probe : probes) {
    // This probe waits for reports over HTTP, which this process does not receive.
    const bool waits = probe.state == ProbeView::State::pending && probe.last_run;
    if (!waits) worst = worse(worst, verdict(probe));
  }
  return worst;
}

std::string check_text(const std::vector<ProbeView>& probes) {
  std::size_t name_width = 0;
  std::size_t kind_width = 0;
  for (const ProbeView& probe : probes) {
    name_width = std::max(name_width, probe.name.size());
    kind_width = std::max(kind_width, probe.kind.size());
  }
  std::string out;
  std::array<std::size_t, 4> counts{};
  for (const ProbeView& probe : probes) {
    const Verdict verdict_of_probe = verdict(probe);
    ++counts.at(static_cast<std::size_t>(verdict_of_probe));
    out += fmt::format("{} {:<{}}  {:<{}}  {}\n", mark(verdict_of_probe), probe.name, name_width,
                       probe.kind, kind_width, probe.target);
    if (!probe.reason.empty()) out += fmt::format("    {}: {}\n", probe.reason, probe.detail);
    for (const CheckView& check : probe.checks) {
      out += fmt::format("    {} {} {}", mark(to_verdict(check.status)), check.name, check.reading);
      if (!check.object.empty()) out += fmt::format(" ({})", check.object);
      if (!check.threshold.empty()) out += fmt::format(", {}", check.threshold);
      out += '\n';
    }
    for (const auto line : std::views::split(probe.message, '\n')) {
      if (!line.empty()) out += fmt::format("    {}\n", std::string_view(line));
    }
  }
  return out + fmt::format("\n{} probes: {} ok, {} warning, {} critical, {} unknown\n",
                           probes.size(), counts[0], counts[1], counts[2], counts[3]);
}

std::string check_json(const std::vector<ProbeView>& probes) {
  boost::json::array list;
  for (const ProbeView& probe : probes) {
    boost::json::object row;
    row["name"] = probe.name;
    row["kind"] = probe.kind;
    row["target"] = probe.target;
    row["status"] = std::string(verdict_name(verdict(probe)));
    if (!probe.reason.empty()) {
      row["reason"] = probe.reason;
      row["error"] = probe.detail;
    }
    if (!probe.message.empty()) row["message"] = probe.message;
    row["duration_seconds"] = probe.duration_seconds;
    boost::json::array checks;
    for (const CheckView& check : probe.checks) {
      boost::json::object entry;
      entry["name"] = check.name;
      entry["status"] = std::string(status_name(check.status));
      entry["reading"] = check.reading;
      if (!check.object.empty()) entry["object"] = check.object;
      if (!check.threshold.empty()) entry["threshold"] = check.threshold;
      checks.push_back(std::move(entry));
    }
    row["checks"] = std::move(checks);
    list.push_back(std::move(row));
  }
  boost::json::object document;
  document["status"] = std::string(verdict_name(verdict(probes)));
  document["probes"] = std::move(list);
  return boost::json::serialize(document) + '\n';
}

int run_check(const std::string& config_file, CheckFormat format) {
  // The printed result contains every failure, so the log is limited to errors.
  log::configure({config::LogLevel::error, config::LogFormat::logfmt});
  asio::io_context loop{1};
  Exposition exposition;
  Board board;
  SelfMetrics metrics;
  ProbeServices services(loop, {});
  Loaded loaded = load_configuration(config_file, services.environment);
  const config::Problems& problems = loaded.document->problems();
  if (problems.has_errors()) {
    std::fputs(problems.text().c_str(), stderr);
    return static_cast<int>(Verdict::unknown);
  }
  const config::Settings& settings = loaded.document->settings();
  services.resolver.set_servers(settings.dns_servers);
  services.kubernetes.set_access({settings.kubernetes.kubeconfig, settings.kubernetes.context});
  raise_descriptor_limit();
  const ProbeDescriptors descriptors = probe_descriptors(settings.limits);
  services.kept.set_max(descriptors.kept);
  Gate gate(descriptors.running, static_cast<std::size_t>(settings.limits.per_endpoint));
  Scheduler scheduler(
      {loop, services.wheel, gate, exposition, board, metrics, config::Duration::zero()});
  scheduler.apply(std::move(loaded.jobs), [](Job&) {});
  scheduler.on_all_ran([&] {
    services.wheel.stop();
    loop.stop();
  });
  loop.run();
  const std::vector<ProbeView> views = board.views();
  const std::string out = format == CheckFormat::json ? check_json(views) : check_text(views);
  std::fputs(out.c_str(), stdout);
  std::fflush(nullptr);
  // Exits without destructors: connections and threads may hang.
  std::_Exit(static_cast<int>(verdict(views)));
}

}  // namespace vitalsd
