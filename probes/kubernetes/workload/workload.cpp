// Kind `workload`: controllers of pods (Deployments, StatefulSets, DaemonSets, Jobs, CronJobs and
// autoscalers) and the resources that they use (quotas, volumes, claims), each from its own watch.
// Names and labels are those of kube-state-metrics.
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace vitalsd {
namespace {

using kubernetes::Section;
using kubernetes::SectionKind;

constexpr std::array kSections = {
    &kubernetes::deployments, &kubernetes::stateful_sets, &kubernetes::daemon_sets,
    &kubernetes::jobs,        &kubernetes::cron_jobs,     &kubernetes::autoscalers,
    &kubernetes::quotas,      &kubernetes::volumes,       &kubernetes::claims,
};

std::string names(std::span<const SectionKind* const> kinds) {
  std::string text;
  for (const SectionKind* kind : kinds) {
    text += (text.empty() ? "" : ", ") + std::string(kind->name);
  }
  return text;
}

class WorkloadProbe final : public Probe {
 public:
  WorkloadProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)) {
    const std::vector<std::string> selected = options.list<std::string>(
        "resources", "only these resources, from " + names(kSections) +
                         "; default: all, but persistentvolumes only if namespaces is not set");
    for (const std::string& name : selected) {
      if (std::ranges::find(kSections, name, &SectionKind::name) != kSections.end()) continue;
      std::vector<std::string_view> known;
      for (const SectionKind* kind : kSections) known.push_back(kind->name);
      options.error("resources", config::quoted(name) + " is not a supported resource" +
                                     config::did_you_mean(name, known));
    }
    for (const SectionKind* kind : kSections) {
      const bool by_default = kind->is_namespaced || scope_.namespaces.empty();
      const bool enabled =
          selected.empty() ? by_default : std::ranges::find(selected, kind->name) != selected.end();
      if (enabled) sections_.push_back({kind, kind->make(environment, scope_)});
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    for (const Enabled& enabled : sections_) enabled.section->join();
    for (const Enabled& enabled : sections_) co_await enabled.section->observe(out);
    kubernetes::Selection selection;
    for (const Enabled& enabled : sections_) enabled.section->count(selection);
    selection.report(out);
  }

  [[nodiscard]] std::string target() const override {
    std::vector<const SectionKind*> kinds;
    for (const Enabled& enabled : sections_) kinds.push_back(enabled.kind);
    const bool all = kinds.empty() || kinds.size() == kSections.size();
    return (all ? "workloads" : names(kinds)) + " in " + scope_.text();
  }

  [[nodiscard]] bool overlaps(const WorkloadProbe& other) const {
    const auto common =
        std::ranges::find_first_of(sections_, other.sections_, {}, &Enabled::kind, &Enabled::kind);
    return common != sections_.end() && scope_.overlaps(other.scope_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<WorkloadProbe&>(predecessor);
    if (old.scope_ != scope_) return;
    for (Enabled& enabled : sections_) {
      const auto same = std::ranges::find(old.sections_, enabled.kind, &Enabled::kind);
      if (same != old.sections_.end()) std::swap(enabled.section, same->section);
    }
  }

 private:
  struct Enabled {
    const SectionKind* kind;
    std::unique_ptr<Section> section;
  };

  kubernetes::Scope scope_;
  std::vector<Enabled> sections_;
};

// Section kinds are constants of other files, so these lists are built during static
// initialization. They are read only after main() has started.
std::vector<const MetricInfo*> all_metrics() {
  std::vector<const MetricInfo*> all;
  for (const SectionKind* kind : kSections) {
    all.insert(all.end(), kind->metrics.begin(), kind->metrics.end());
  }
  all.push_back(&kubernetes::kLastHeard);
  all.push_back(&kubernetes::kSelectedObjects);
  return all;
}
std::vector<const Check*> all_checks() {
  std::vector<const Check*> all;
  for (const SectionKind* kind : kSections) {
    all.insert(all.end(), kind->checks.begin(), kind->checks.end());
  }
  all.push_back(&kubernetes::kUnmatchedCheck);
  return all;
}
const std::vector<const MetricInfo*> kMetrics = all_metrics();
std::vector<Permission> all_permissions() {
  std::vector<Permission> all;
  for (const SectionKind* kind : kSections) {
    all.push_back({.group = kind->group,
                   .resource = kind->name,
                   .cluster = !kind->is_namespaced,
                   .listed_in = "resources"});
  }
  return all;
}
const std::vector<const Check*> kChecks = all_checks();
const std::vector<Permission> kPermissions = all_permissions();

constexpr WatchingKind kWatching{.overlaps = probes_overlap<WorkloadProbe>};

}  // namespace

namespace kinds {
extern const ProbeKind workload;
const ProbeKind workload = {
    .name = "workload",
    .help = "Deployments, Jobs and other controllers of pods, quotas and volumes are healthy.",
    .make = make_probe<WorkloadProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .permissions = kPermissions,
    .watching = &kWatching,
};
}  // namespace kinds

}  // namespace vitalsd
