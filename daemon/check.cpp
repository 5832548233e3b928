#include "daemon/check.hpp"

#include "config/problems.hpp"
#include "daemon/board.hpp"
#include "daemon/build.hpp"
#include "daemon/check_output.hpp"
#include "daemon/check_progress.hpp"
#include "daemon/gate.hpp"
#include "daemon/limits.hpp"
#include "daemon/log.hpp"
#include "daemon/output.hpp"
#include "daemon/reload.hpp"
#include "daemon/remote_status.hpp"
#include "daemon/scheduler.hpp"
#include "daemon/self_metrics.hpp"
#include "daemon/version.hpp"
#include "exporter/web/status_json.hpp"
#include "probes/registry.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <unistd.h>

namespace vitalsd {
namespace {

// What a filter can match before the probe runs.
ProbeView described(const JobSpec& job) {
  ProbeView view;
  view.name = job.name;
  view.kind = job.kind->name;
  view.labels = job.labels;
  return view;
}

std::vector<ProbeView> described(const std::vector<JobSpec>& jobs) {
  std::vector<ProbeView> views;
  for (const JobSpec& job : jobs) views.push_back(described(job));
  return views;
}

// Returns why a pattern of the filter selects no probe; empty if each selects one.
std::string mismatch(const ProbeFilter& filter, const std::vector<ProbeView>& probes,
                     const std::vector<config::ProbeSettings>& configured = {}) {
  std::vector<std::string_view> names;
  for (const ProbeView& probe : probes) names.push_back(probe.name);
  const auto is_unused = [&](const ProbeFilter& part) {
    return std::ranges::none_of(probes,
                                [&](const ProbeView& probe) { return matches(part, probe); });
  };
  for (const std::string& name : filter.names) {
    if (is_unused({.names = {name}})) {
      const auto known = std::ranges::find(configured, name, &config::ProbeSettings::name);
      if (known != configured.end() && !known->enabled) {
        return "the probe " + config::quoted(name) + " is disabled";
      }
      return "no probe has the name " + config::quoted(name) + config::did_you_mean(name, names);
    }
  }
  for (const std::string& kind : filter.kinds) {
    if (is_unused({.kinds = {kind}})) {
      const bool is_known = find_kind(kind) != nullptr;
      return "no probe has the kind " + config::quoted(kind) +
             (is_known ? "" : config::did_you_mean(kind, kind_names()));
    }
  }
  if (!probes.empty() &&
      is_unused({.names = filter.names, .kinds = filter.kinds, .labels = filter.labels})) {
    return "no probe matches all of PROBE, --kind and --label";
  }
  return "";
}

// https://no-color.org
bool has_colors() {
  const char* const no_color = std::getenv("NO_COLOR");
  return (no_color == nullptr || *no_color == '\0') && understands_escapes(STDOUT_FILENO);
}

std::string to_text(Overview overview, const CheckOptions& options) {
  const ProbeFilter shown{.states = options.filter.states};
  if (!options.by_name) {
    std::ranges::sort(overview.probes, {}, [](const ProbeView& probe) {
      return std::pair(std::ranges::find(kVerdicts, verdict(probe)), std::string_view(probe.name));
    });
  }
  switch (options.format) {
    case CheckOptions::Format::text:
      return check_text(overview.probes, shown, has_colors());
    case CheckOptions::Format::nagios:
      return check_nagios(overview.probes, shown);
    case CheckOptions::Format::markdown:
      return check_markdown(overview.probes, shown);
    case CheckOptions::Format::json:
      break;
  }
  select_probes(overview, shown);
  return status_json(overview);
}

// The part of the filter that is known before a run.
ProbeFilter selection(const ProbeFilter& filter) {
  return {.names = filter.names, .kinds = filter.kinds, .labels = filter.labels};
}

int fail(const std::string& error) {
  std::fprintf(stderr, "vitalsd check: %s\n", error.c_str());
  return static_cast<int>(Verdict::unknown);
}

// Prints the result. Returns the exit code.
int report(const Overview& overview, const CheckOptions& options) {
  if (!options.quiet) std::fputs(to_text(overview, options).c_str(), stdout);
  return finish_output(static_cast<int>(verdict(overview)));
}

}  // namespace

int show_status(const CheckOptions& options) {
  const auto status = fetch_status(options.status_url, options.ca);
  if (!status) return fail("--status: " + status.error());
  Overview& overview = (*status)->overview;
  if (!overview.leads || !overview.healthy) {
    std::fprintf(stderr, "vitalsd check: %s: %s\n", options.status_url.c_str(),
                 headline(overview).c_str());
  }
  const ProbeFilter selected = selection(options.filter);
  if (overview.leads) {
    if (const std::string error = mismatch(selected, overview.probes); !error.empty()) {
      return fail(error);
    }
  }
  std::erase_if(overview.probes, [&](const ProbeView& probe) { return !matches(selected, probe); });
  return report(overview, options);
}

int run_check(const CheckOptions& options) {
  // The printed result contains every failure, so the log is limited to errors.
  log::configure({config::LogLevel::error, config::LogFormat::logfmt});
  asio::io_context loop{1};
  Exposition exposition;
  Board board;
  SelfMetrics metrics;
  ProbeServices services(loop, {});
  Loaded loaded = load_configuration(options.config_file, services.environment);
  const config::Problems& problems = loaded.document->problems();
  if (problems.has_errors()) {
    print_problems(problems);
    return static_cast<int>(Verdict::unknown);
  }
  const ProbeFilter selected = selection(options.filter);
  if (const std::string error =
          mismatch(selected, described(loaded.jobs), loaded.document->settings().probes);
      !error.empty()) {
    return fail(error);
  }
  std::erase_if(loaded.jobs,
                [&](const JobSpec& job) { return !matches(selected, described(job)); });
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
  CheckProgress progress(services.wheel, board);
  if (!options.quiet) progress.start();
  scheduler.on_all_ran([&] {
    progress.stop();
    services.wheel.stop();
    loop.stop();
  });
  loop.run();
  const Overview overview{
      .probes = board.views(), .version = kVersion, .now = std::chrono::system_clock::now()};
  const int code = report(overview, options);
  std::fflush(nullptr);
  // Exits without destructors: connections and threads may hang.
  std::_Exit(code);
}

}  // namespace vitalsd
