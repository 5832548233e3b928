#include "daemon/reference.hpp"

#include "daemon/app.hpp"
#include "daemon/build.hpp"
#include "daemon/framework_metrics.hpp"
#include "daemon/reload.hpp"
#include "daemon/units.hpp"
#include "probes/registry.hpp"
#include "probes/services.hpp"

#include <cstdio>
#include <span>
#include <string_view>
#include <vector>

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
  SelfMetrics metrics;  // a family whose labels have not been seen is not collected
  metrics.set_probes("", 0);
  metrics.schedule_lag("");
  metrics.count_request("", 0);
  for (const Exposition::Extra& extra : metrics.collect()) {
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

std::string options_table(const std::vector<config::Option>& options) {
  std::string out = "| key | type | default | meaning |\n|---|---|---|---|\n";
  for (const config::Option& option : options) {
    const std::string fallback = option.required           ? "required"
                                 : option.fallback.empty() ? ""
                                                           : "`" + option.fallback + "`";
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

}  // namespace

std::string metrics_reference(bool markdown) {
  std::string out;
  if (markdown) {
    out =
        "# Metrics\n\nMade by `vitalsd metrics --markdown` from the declarations in the code.\n\n"
        "Every series of a probe carries the label `probe`, its name, and the probe's own "
        "`labels`.\n";
  }
  out += section("Every probe", "From the framework, whatever the kind.", to_rows(framework::kAll),
                 markdown);
  for (const ProbeKind* kind : probe_kinds()) {
    out += section("Kind " + std::string(kind->name), std::string(kind->help), rows_of(*kind),
                   markdown);
  }
  return out + section("The process", "vitalsd about itself.", rows_of_process(), markdown);
}

std::string configuration_reference() {
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  std::string out =
      "# Configuration\n\n"
      "Made by `vitalsd config reference` from the code that reads it.\n\n"
      "One YAML file. Unknown and duplicate keys are errors; durations (`500ms`, `30s`, `5m`, "
      "`24h`, `30d`)\n"
      "and sizes (`512B`, `10kB`, `1MiB`) need a unit, ratios are `80%` or `0.8`. A secret is "
      "`{file: PATH}`,\n"
      "`{env: NAME}` or `{credential: NAME}` (of systemd), read at each connection; the text "
      "itself "
      "is taken\nwith a warning.\n\n"
      "## Top level\n\n";
  out += options_table(config::describe_settings());
  for (const ProbeKind* kind : probe_kinds()) {
    out += fmt::format("\n## Kind {}\n\n{}\n\n", kind->name, kind->help);
    out += options_table(describe_kind(*kind, services.environment));
    out += checks_table(*kind);
  }
  return out;
}

int check_configuration(const std::string& file) {
  asio::io_context loop{1};
  ProbeServices services(loop, {});
  const Loaded loaded = load_configuration(file, services.environment);
  const config::Problems& problems = loaded.document->problems();
  std::fputs(problems.text().c_str(), stderr);
  if (problems.has_errors()) return static_cast<int>(Exit::config);
  fmt::print("{}: valid, {} probes\n", file, loaded.jobs.size());
  return static_cast<int>(Exit::ok);
}

}  // namespace vitalsd
