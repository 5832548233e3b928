#include "daemon/build.hpp"

#include "daemon/framework_metrics.hpp"
#include "daemon/shown_options.hpp"
#include "daemon/units.hpp"
#include "probes/registry.hpp"
#include "probes/threshold.hpp"

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace vitalsd {
namespace {

bool is_off(const config::Node& checks, std::string_view name) {
  const config::Member* found = checks.value().find(name);
  return found != nullptr && found->value.kind == config::Value::Kind::scalar &&
         (found->value.text == "off" || found->value.text == "false");
}

std::vector<CheckSetting> read_checks(config::Node& options, const ProbeKind& kind) {
  std::vector<CheckSetting> all;
  if (kind.checks.empty()) return all;
  config::Node& node =
      options.section("checks", "thresholds of each check; `NAME: off` turns a check off");
  for (const Check* check : kind.checks) {
    if (is_off(node, check->name)) {
      (void)node.get<std::string>(check->name, "", "");
      all.emplace_back();
      continue;
    }
    config::Node& section = node.section(check->name, check->help);
    Thresholds configured;
    configured.warn = read_threshold(section, "warn", check->unit, "worse than this is a warning");
    configured.critical =
        read_threshold(section, "critical", check->unit, "worse than this is critical");
    const Thresholds effective = configured.or_else({check->warn, check->critical});
    const bool is_crossed = effective.warn && effective.critical &&
                            (check->worse == Worse::above ? *effective.warn > *effective.critical
                                                          : *effective.warn < *effective.critical);
    if (is_crossed) {
      const auto shown = [&](double threshold, bool is_configured) {
        return '(' + format_reading(check->unit, threshold) +
               (is_configured ? ")" : ", the default)");
      };
      section.error(configured.warn ? "warn" : "critical",
                    "warn " + shown(*effective.warn, configured.warn.has_value()) +
                        " is beyond critical " +
                        shown(*effective.critical, configured.critical.has_value()));
    }
    all.push_back(configured);
  }
  return all;
}

// Returns the first metric that declares `label`, or null.
const MetricInfo* owner_of(std::string_view label, std::span<const MetricInfo* const> metrics) {
  const auto owner = std::ranges::find_if(metrics, [&](const MetricInfo* metric) {
    const auto names = std::span(metric->label_names).first(metric->label_count);
    return std::ranges::find(names, label) != names.end();
  });
  return owner == metrics.end() ? nullptr : *owner;
}

// Prometheus rejects the whole page if a series has two labels of the same name.
void check_labels(const config::ProbeSettings& probe, const ProbeKind& kind) {
  for (const auto& [label, value] : probe.labels) {
    const MetricInfo* owner = owner_of(label, kind.metrics);
    if (owner == nullptr) owner = owner_of(label, framework::kAll);
    if (owner == nullptr) continue;
    probe.options->error("labels", "the label " + config::quoted(label) +
                                       " is already a label of " + std::string(owner->name));
  }
}

// The settings were validated with the default interval of most kinds, but this kind has another
// one.
void use_default_interval(const config::ProbeSettings& probe, const ProbeKind& kind, JobSpec& job) {
  job.interval = *kind.default_interval;
  if (job.timeout <= job.interval) return;
  if (probe.options->has("timeout")) {
    probe.options->error("timeout", "must be at most the interval, which is " +
                                        config::Scalar<config::Duration>::show(job.interval) +
                                        " by default for this kind");
  }
  job.timeout = job.interval;
}

// An object that two probes publish would be counted twice in sums and alert twice.
void check_overlap(const config::ProbeSettings& probe, const JobSpec& job,
                   const std::vector<JobSpec>& earlier) {
  if (job.kind->watching == nullptr || job.kind->watching->overlaps == nullptr) return;
  const auto other = std::ranges::find_if(earlier, [&](const JobSpec& spec) {
    return spec.kind == job.kind && spec.name != job.name &&
           job.kind->watching->overlaps(*job.probe, *spec.probe);
  });
  if (other == earlier.end()) return;
  probe.options->error("name", config::quoted(probe.name) + " and " + config::quoted(other->name) +
                                   " may watch the same objects: give them disjoint namespaces or "
                                   "selectors, or merge them");
}

// With a misspelled name, the alert rule that joins the job with its backup would never fire.
void check_backup(const config::ProbeSettings& probe,
                  const std::vector<config::ProbeSettings>& probes) {
  const config::Member* backup = probe.options->value().find("backup");
  if (probe.kind != "job" || backup == nullptr || backup->value.text.empty()) return;
  const auto is_meant = [&](const config::ProbeSettings& other) {
    return other.kind == "backup" && other.name == backup->value.text;
  };
  if (std::ranges::any_of(probes, is_meant)) return;
  probe.options->error(
      "backup", "no probe of kind backup has the name " + config::quoted(backup->value.text));
}

}  // namespace

std::vector<JobSpec> build_jobs(config::Document& document, const Environment& environment,
                                std::vector<ProbeRoute>* routes) {
  std::vector<JobSpec> jobs;
  std::map<const ProbeKind*, OptionTypes> types;
  for (config::ProbeSettings& probe : document.settings().probes) {
    const ProbeKind* kind = find_kind(probe.kind);
    if (kind == nullptr) {
      probe.options->ignore_unknown();  // the valid keys depend on the kind
      if (probe.kind.empty()) continue;
      std::string known;
      for (const std::string_view name : kind_names()) known += ' ' + std::string(name);
      probe.options->error("kind", "unknown kind " + config::quoted(probe.kind) +
                                       config::did_you_mean(probe.kind, kind_names()) +
                                       "; known kinds:" + known);
      continue;
    }
    JobSpec job;
    job.name = probe.name;
    job.kind = kind;
    job.interval = probe.interval;
    job.timeout = probe.timeout;
    if (kind->default_interval && !probe.has_interval) use_default_interval(probe, *kind, job);
    job.labels = probe.labels;
    job.fingerprint = probe.fingerprint;
    job.checks = read_checks(*probe.options, *kind);
    job.probe = kind->make(*probe.options, environment);
    check_labels(probe, *kind);
    check_backup(probe, document.settings().probes);
    if (!probe.enabled) continue;
    if (Receiver* receiver = job.probe->receiver(); receiver != nullptr && routes != nullptr) {
      for (PushRoute& route : receiver->routes()) routes->push_back({probe.name, std::move(route)});
    }
    // Another process runs it. It is built here too, so that all shards reject the same
    // configuration.
    if (kind->watching == nullptr && !environment.shard.owns(probe.name)) continue;
    check_overlap(probe, job, jobs);
    if (!types.contains(kind)) types[kind] = option_types(describe_kind(*kind, environment));
    job.options = std::make_shared<const std::vector<std::pair<std::string, std::string>>>(
        shown_options(probe.options->value(), types.at(kind)));
    if (kind->watching != nullptr && environment.shard.divided()) {
      // Every process publishes the framework's series of this probe; the label `shard`
      // distinguishes them.
      job.labels.emplace_back("shard", std::to_string(environment.shard.index));
      std::ranges::sort(job.labels);
    }
    jobs.push_back(std::move(job));
  }
  document.finish();
  return jobs;
}

std::map<std::string, std::string, std::less<>> absent_probes(
    const std::vector<config::ProbeSettings>& probes, const std::vector<JobSpec>& jobs) {
  std::map<std::string, std::string, std::less<>> reasons;
  for (const config::ProbeSettings& probe : probes) {
    reasons[probe.name] = probe.enabled ? "runs in another process (--shard)" : "is disabled";
  }
  for (const JobSpec& job : jobs) reasons.erase(job.name);
  return reasons;
}

std::vector<config::Option> describe_kind(const ProbeKind& kind, const Environment& environment) {
  std::vector<config::Option> options;
  config::Problems ignored("");
  config::Node node = config::Node::describing(options, ignored);
  kind.make(node, environment);
  read_checks(node, kind);
  return options;
}

}  // namespace vitalsd
