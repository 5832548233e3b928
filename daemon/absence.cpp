#include "daemon/absence.hpp"

#include "daemon/app.hpp"
#include "daemon/reload.hpp"
#include "probes/registry.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <cstdio>
#include <string_view>
#include <vector>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

namespace vitalsd {
namespace {

struct Alert {
  std::string_view name;
  std::string expression;
  std::string_view wait;
  std::string labels;
  std::string summary;
  std::string description;
};

// The one kind whose rules the documents call critical has a rule, and a runbook, of its own.
Alert alert_of(const ProbeKind& kind) {
  if (kind.name == "postgres") {
    return {.name = "DatabaseUnwatched",
            .expression = fmt::format("absent({})", kind.documented_series),
            .wait = "5m",
            .labels = fmt::format("severity: critical, team: platform, kind: {}", kind.name),
            .summary = "Nothing watches PostgreSQL",
            .description =
                fmt::format("There is no {}: vitalsd is gone, or the scrape configuration lacks "
                            "the renaming of vitalsd_target_up. DatabaseDown cannot fire.",
                            kind.documented_series)};
  }
  return {.name = "DocumentedSeriesMissing",
          .expression = fmt::format("absent({}) and on () (up{{job=\"vitalsd\"}} == 1)",
                                    kind.documented_series),
          .wait = "15m",
          .labels = fmt::format("severity: warning, team: platform, kind: {}, series: '{}'",
                                kind.name, kind.documented_series),
          .summary = fmt::format("vitalsd is up, but there is no {}", kind.documented_series),
          .description =
              "The documented rules that read it are silent whatever happens: no probe "
              "of that kind has succeeded yet, or none is configured any more."};
}

}  // namespace

std::string absence_rules(std::span<const ProbeKind* const> kinds) {
  std::string rules;
  for (const ProbeKind* kind : probe_kinds()) {
    const bool wanted = std::ranges::find(kinds, kind) != kinds.end();
    if (!wanted || kind->documented_series.empty()) continue;
    const Alert alert = alert_of(*kind);
    rules += fmt::format(
        "      - alert: {0}\n"
        "        expr: {1}\n"
        "        for: {2}\n"
        "        keep_firing_for: 2m\n"
        "        labels: {{{3}}}\n"
        "        annotations:\n"
        "          summary: '{4}'\n"
        "          description: '{5}'\n"
        "          runbook_url: "
        "https://github.com/vitalsd/vitalsd/blob/main/docs/runbooks/{0}.md\n",
        alert.name, alert.expression, alert.wait, alert.labels, alert.summary, alert.description);
  }
  const std::string_view front =
      "# Made by `vitalsd rules absent`: alerts on documented series that do not exist.\n";
  if (rules.empty()) return fmt::format("{}groups: []\n", front);
  return fmt::format("{}groups:\n  - name: vitalsd-absent\n    rules:\n{}", front, rules);
}

int print_absence_rules(const std::string& file) {
  std::vector<const ProbeKind*> kinds;
  if (file.empty()) {
    kinds.assign(probe_kinds().begin(), probe_kinds().end());
  } else {
    asio::io_context loop{1};
    ProbeServices services(loop, {});
    const Loaded loaded = load_configuration(file, services.environment);
    const config::Problems& problems = loaded.document->problems();
    if (problems.has_errors()) {
      std::fputs(problems.text().c_str(), stderr);
      return static_cast<int>(Exit::config);
    }
    for (const JobSpec& job : loaded.jobs) kinds.push_back(job.kind);
  }
  std::fputs(absence_rules(kinds).c_str(), stdout);
  return static_cast<int>(Exit::ok);
}

}  // namespace vitalsd
