// Kind `workload`: what runs pods (Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, their
// autoscalers) and what it runs on (quotas, volumes, claims), each from a watch of its own. Names
// and labels are kube-state-metrics'.
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>
#include <memory>
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

class WorkloadProbe final : public Probe {
 public:
  WorkloadProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)) {
    std::vector<std::string> wanted =
        options.list<std::string>("resources", "only these, of " + known() +
                                                   "; without it all, and persistentvolumes only "
                                                   "where no namespaces are named");
    for (const std::string& name : wanted) {
      if (std::ranges::find(kSections, name, &SectionKind::name) != kSections.end()) continue;
      std::vector<std::string_view> names;
      for (const SectionKind* kind : kSections) names.push_back(kind->name);
      options.error("resources", config::quoted(name) + " is no resource that is watched" +
                                     config::did_you_mean(name, names));
    }
    for (const SectionKind* kind : kSections) {
      const bool by_default = kind->in_namespaces || scope_.namespaces.empty();
      const bool chosen =
          wanted.empty() ? by_default : std::ranges::find(wanted, kind->name) != wanted.end();
      if (chosen) sections_.push_back({kind, kind->make(environment, scope_)});
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    for (const Followed& each : sections_) each.section->join();
    for (const Followed& each : sections_) co_await each.section->observe(out);
  }

  [[nodiscard]] std::string target() const override {
    std::string text;
    if (sections_.size() < kSections.size()) {
      for (const Followed& each : sections_) {
        text += (text.empty() ? "" : ", ") + std::string(each.kind->name);
      }
    }
    return (text.empty() ? "workloads" : text) + " in " + scope_.text();
  }

  [[nodiscard]] bool overlaps(const Probe& other) const override {
    const auto& probe = dynamic_cast<const WorkloadProbe&>(other);
    const auto same = std::ranges::find_first_of(sections_, probe.sections_, {}, &Followed::kind,
                                                 &Followed::kind);
    return same != sections_.end() && scope_.overlaps(probe.scope_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<WorkloadProbe&>(predecessor);
    if (old.scope_ != scope_) return;
    for (Followed& each : sections_) {
      const auto same = std::ranges::find(old.sections_, each.kind, &Followed::kind);
      if (same != old.sections_.end()) std::swap(each.section, same->section);
    }
  }

 private:
  struct Followed {
    const SectionKind* kind;
    std::unique_ptr<Section> section;
  };

  static std::string known() {
    std::string text;
    for (const SectionKind* kind : kSections) {
      text += (text.empty() ? "" : ", ") + std::string(kind->name);
    }
    return text;
  }

  kubernetes::Scope scope_;
  std::vector<Followed> sections_;
};

// The sections are constants of other files: these lists are made before main, and read after.
std::vector<const MetricInfo*> all_metrics() {
  std::vector<const MetricInfo*> all;
  for (const SectionKind* kind : kSections) {
    all.insert(all.end(), kind->metrics.begin(), kind->metrics.end());
  }
  all.push_back(&kubernetes::kLastHeard);
  return all;
}
std::vector<const Check*> all_checks() {
  std::vector<const Check*> all;
  for (const SectionKind* kind : kSections) {
    all.insert(all.end(), kind->checks.begin(), kind->checks.end());
  }
  return all;
}
const std::vector<const MetricInfo*> kMetrics = all_metrics();
const std::vector<const Check*> kChecks = all_checks();

}  // namespace

namespace kinds {
extern const ProbeKind workload;
const ProbeKind workload = {
    .name = "workload",
    .help = "Deployments, Jobs and all else that runs pods, with quotas and volumes, are well.",
    .make = make_probe<WorkloadProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .first_at_once = true,
    .divides = true,
};
}  // namespace kinds

}  // namespace vitalsd
