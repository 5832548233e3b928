#include "daemon/reference.hpp"

#include "daemon/app.hpp"
#include "daemon/framework_metrics.hpp"
#include "daemon/reload.hpp"
#include "probes/registry.hpp"
#include "probes/services.hpp"

#include <cstdio>
#include <span>
#include <string_view>

#include <boost/asio/io_context.hpp>
#include <fmt/format.h>

namespace vitalsd {
namespace {

void print_metrics(std::string_view title, std::span<const MetricInfo* const> metrics) {
  fmt::print("# {}\n", title);
  for (const MetricInfo* metric : metrics) {
    std::string labels;
    for (const std::string_view name : std::span(metric->label_names).first(metric->label_count)) {
      labels += (labels.empty() ? "{" : ",") + std::string(name);
    }
    if (!labels.empty()) labels += '}';
    fmt::print("{}{} {} {}\n", metric->name, labels, type_name(metric->type), metric->help);
  }
  fmt::print("\n");
}

}  // namespace

int list_metrics() {
  print_metrics("every probe; all series of a probe carry the label probe and the user's labels",
                framework::kAll);
  for (const ProbeKind* kind : probe_kinds()) {
    std::vector<const MetricInfo*> metrics;
    if (kind->up != nullptr) metrics.push_back(kind->up);
    metrics.insert(metrics.end(), kind->metrics.begin(), kind->metrics.end());
    print_metrics("kind " + std::string(kind->name), metrics);
  }
  fmt::print("# the process itself\n");
  for (const Exposition::Extra& extra : SelfMetrics().collect()) {
    const std::string_view type = extra.type_name.empty() ? type_name(extra.type) : extra.type_name;
    fmt::print("{} {} {}\n", extra.name, type, extra.help);
  }
  return 0;
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
