#include "daemon/reference.hpp"

#include "daemon/app.hpp"
#include "daemon/build.hpp"
#include "daemon/framework_metrics.hpp"
#include "daemon/output.hpp"
#include "daemon/reload.hpp"
#include "daemon/units.hpp"
#include "probes/registry.hpp"
#include "probes/services.hpp"

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <exception>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

namespace vitalsd {
namespace {

struct Row {
  std::string name;  // with labels
  std::string_view type;
  std::string help;
};

Row to_row(const MetricInfo& metric) {
  std::string labels;
  for (const std::string_view name : std::span(metric.label_names).first(metric.label_count)) {
    labels += (labels.empty() ? "{" : ",") + std::string(name);
  }
  if (!labels.empty()) labels += '}';
  std::string help(metric.help);
  if (!metric.waiver.empty()) help += " (The name: " + std::string(metric.waiver) + ".)";
  return {std::string(metric.name) + labels, type_name(metric.type), std::move(help)};
}

std::vector<Row> to_rows(std::span<const MetricInfo* const> metrics) {
  std::vector<Row> rows;
  for (const MetricInfo* metric : metrics) rows.push_back(to_row(*metric));
  return rows;
}

std::vector<Row> rows_of(const ProbeKind& kind) {
  std::vector<Row> rows;
  if (kind.up != nullptr) rows.push_back(to_row(*kind.up));
  for (const Row& row : to_rows(kind.metrics)) rows.push_back(row);
  return rows;
}

std::vector<Row> rows_of_process() {
  std::vector<Row> rows;
  SelfMetrics metrics;
  // Families without series are not collected.
  metrics.set_probes("", 0);
  metrics.schedule_lag("");
  metrics.count_request("", 0);
  metrics.observe_scrape("", {}, 0);
  for (const Exposition::Extra& extra : metrics.collect({.limit = 1, .dropped = {{"", 1}}})) {
    rows.push_back({extra.name, extra.type_name.empty() ? type_name(extra.type) : extra.type_name,
                    extra.help});
  }
  return rows;
}

std::string section(const std::string& title, const std::string& text, const std::vector<Row>& rows,
                    bool markdown) {
  std::string out = markdown ? "\n## " + title + "\n\n" + text : "# " + title + '\n';
  if (markdown) out += "\n\n| metric | type | meaning |\n|---|---|---|\n";
  for (const Row& row : rows) {
    out += markdown ? fmt::format("| `{}` | {} | {} |\n", row.name, row.type, row.help)
                    : fmt::format("{} {} {}\n", row.name, row.type, row.help);
  }
  return markdown ? out : out + '\n';
}

std::string threshold(const Check& check, const std::optional<double>& value) {
  return value ? format_reading(check.unit, *value) : "";
}

/// As code in a cell of a Markdown table. A vertical bar ends a cell even within code.
std::string code(std::string_view text) {
  std::string out = "`";
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c;
  }
  return out + '`';
}

std::string options_table(const std::vector<config::Option>& options) {
  std::string out = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const config::Option& option : options) {
    const std::string fallback = option.required           ? "required"
                                 : option.fallback.empty() ? ""
                                                           : code(option.fallback);
    out +=
        fmt::format("| `{}` | {} | {} | {} |\n", option.path, option.type, fallback, option.help);
  }
  return out;
}

std::string checks_table(const ProbeKind& kind) {
  if (kind.checks.empty()) return {};
  std::string out = "\n| check | reading | warn | critical |\n|---|---|---|---|\n";
  for (const Check* check : kind.checks) {
    out += fmt::format("| `{}` | {}, worse {} | {} | {} |\n", check->name, check->help,
                       check->worse == Worse::above ? "above" : "below",
                       threshold(*check, check->warn), threshold(*check, check->critical));
  }
  return out;
}

asio::awaitable<void> add_warnings(Loaded& loaded, const Environment& environment) {
  const config::Problems found = co_await Preflight::run(std::move(*loaded.preflight), environment);
  for (const config::Problem& problem : found.list()) {
    loaded.document->problems().warning(problem.mark, problem.path, problem.message);
  }
}

int report(const std::string& file, const config::Document& document, bool strict) {
  const config::Problems& problems = document.problems();
  print_problems(problems);
  if (problems.has_errors()) return static_cast<int>(Exit::config);
  if (strict && !problems.list().empty()) {
    fmt::print(stderr, "{}: invalid, because --strict makes warnings errors\n", file);
    return static_cast<int>(Exit::config);
  }
  const auto& probes = document.settings().probes;
  const auto disabled = std::ranges::count(probes, false, &config::ProbeSettings::enabled);
  fmt::print("{}: valid, {} probe{}{}\n", file, probes.size(), probes.size() == 1 ? "" : "s",
             disabled > 0 ? fmt::format(", {} disabled", disabled) : "");
  return static_cast<int>(Exit::ok);
}

}  // namespace

std::string metrics_reference(bool markdown) {
  std::string out;
  if (markdown) {
    out =
        "# Metrics\n\nGenerated by `vitalsd metrics --markdown` from the declarations in the "
        "code.\n\n"
        "Every series of a probe has the labels `probe` (the name of the probe) and `instance` "
        "(the "
        "name of the target), and the probe's own `labels`. The name of the target is the name of "
        "the probe; in the series of nodes and kubelets it is the name of the node, and in a probe "
        "with several targets, such as of kind relay, it is `host:port`.\n";
  }
  out += section("Every probe", "From the framework, independent of the kind.",
                 to_rows(framework::kAll), markdown);
  for (const ProbeKind* kind : probe_kinds()) {
    out += section("Kind " + std::string(kind->name), std::string(kind->help), rows_of(*kind),
                   markdown);
  }
  return out + section("The process", "Metrics of vitalsd itself.", rows_of_process(), markdown);
}

std::string permissions_reference() {
  std::string out =
      "# Printed by `vitalsd config permissions`: the permissions that each kind of probe needs in "
      "the\n# Kubernetes API. The list is empty for a kind that needs none.\n";
  for (const ProbeKind* kind : probe_kinds()) {
    out += fmt::format("{}:{}\n", kind->name, kind->permissions.empty() ? " []" : "");
    for (const Permission& each : kind->permissions) {
      out += fmt::format("  - {{resource: \"{}/{}\", verbs: {}", each.group, each.resource,
                         each.verbs == Permission::Verbs::get ? "[get]" : "[list, watch]");
      if (each.cluster) out += ", cluster: true";
      if (!each.unless_false.empty()) out += fmt::format(", unless_false: {}", each.unless_false);
      if (!each.listed_in.empty()) out += fmt::format(", listed_in: {}", each.listed_in);
      if (!each.within.empty()) out += fmt::format(", within: {}", each.within);
      out += "}\n";
    }
  }
  return out;
}

std::string configuration_reference() {
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  std::string out =
      "# Configuration\n\n"
      "Generated by `vitalsd config reference` from the code that reads it.\n\n"
      "One YAML file. Unknown and duplicate keys are errors; durations (`500ms`, `30s`, `5m`, "
      "`24h`, `30d`)\n"
      "and sizes (`512B`, `10kB`, `1MiB`) need a unit, ratios are `80%` or `0.8`. A secret is "
      "`{file: PATH}`,\n"
      "`{env: NAME}` or `{credential: NAME}` (of systemd), read at each connection; plain text "
      "is\naccepted with a warning. Regular expressions are RE2: for names, they must match the "
      "whole name, as in\nPrometheus; for lines and bodies, they must match a part.\n\n"
      "## Top level\n\n";
  out += options_table(config::describe_settings());
  for (const ProbeKind* kind : probe_kinds()) {
    out += fmt::format("\n## Kind {}\n\n{}\n\n", kind->name, kind->help);
    out += options_table(describe_kind(*kind, services.environment));
    out += checks_table(*kind);
  }
  return out;
}

int check_configuration(const std::string& file, bool strict) {
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  Loaded loaded = load_configuration(file, services.environment);
  if (loaded.preflight) {
    asio::co_spawn(loop, add_warnings(loaded, services.environment),
                   [&](const std::exception_ptr& error) {
                     services.wheel.stop();
                     loop.stop();
                     if (error) std::rethrow_exception(error);
                   });
    loop.run();
  }
  const int code = report(file, *loaded.document, strict);
  if (services.hanging() > 0) {
    std::fflush(nullptr);
    std::_Exit(code);  // no destructors: they would wait for hanging threads
  }
  return code;
}

}  // namespace vitalsd
