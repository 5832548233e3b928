#include "daemon/check.hpp"

#include "daemon/board.hpp"
#include "daemon/gate.hpp"
#include "daemon/limits.hpp"
#include "daemon/log.hpp"
#include "daemon/reload.hpp"
#include "daemon/scheduler.hpp"
#include "daemon/self_metrics.hpp"
#include "daemon/version.hpp"
#include "exporter/web/status_json.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <ranges>
#include <string_view>
#include <utility>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

namespace vitalsd {
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
      out += fmt::format("    {} {} {}\n", mark(verdict(check)), check.name, describe(check));
    }
    for (const auto line : std::views::split(probe.message, '\n')) {
      if (!line.empty()) out += fmt::format("    {}\n", std::string_view(line));
    }
  }
  return out + fmt::format("\n{} probes: {} ok, {} warning, {} critical, {} unknown\n",
                           probes.size(), counts[0], counts[1], counts[2], counts[3]);
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
  const Overview overview{
      .probes = board.views(), .version = kVersion, .now = std::chrono::system_clock::now()};
  const std::vector<ProbeView>& views = overview.probes;
  const std::string out = format == CheckFormat::json ? status_json(overview) : check_text(views);
  std::fputs(out.c_str(), stdout);
  std::fflush(nullptr);
  // Exits without destructors: connections and threads may hang.
  std::_Exit(static_cast<int>(verdict(views)));
}

}  // namespace vitalsd
