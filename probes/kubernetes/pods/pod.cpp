// Kind `pod`: phases, conditions and restarts of pods and their containers, from one watch for each
// namespace of the scope. `families: all` publishes the same families as kube-state-metrics; the
// default is those that alert rules use.
#include "probes/kubernetes/objects/pod_object.hpp"
#include "probes/kubernetes/pods/pod_checks.hpp"
#include "probes/kubernetes/pods/pod_samples.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

using kubernetes::kPodPhases;
using kubernetes::Pod;
using kubernetes::PodDetail;

constexpr net::kubernetes::Resource kPods{.group = "", .version = "v1", .plural = "pods"};

class PodProbe final : public Probe {
 public:
  PodProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)),
        phases_(options.list<std::string>("phases", "only pods in these phases; default: all")),
        detail_(options.choice("families", {"basic", "all"},
                               "basic: what alert rules use; all: as kube-state-metrics") == "all"
                    ? PodDetail::all
                    : PodDetail::basic) {
    for (const std::string& phase : phases_) {
      if (std::ranges::find(kPodPhases, phase) != kPodPhases.end()) continue;
      const std::vector<std::string_view> known(kPodPhases.begin(), kPodPhases.end());
      options.error("phases", config::quoted(phase) + " is not a valid pod phase" +
                                  config::did_you_mean(phase, known));
    }
    for (net::kubernetes::Query& query : scope_.queries(kPods)) {
      sources_.push_back(std::make_unique<Source>(
          environment, std::move(query),
          [detail = detail_,
           shard = environment.shard](std::string_view message) -> std::optional<Pod> {
            Pod pod = kubernetes::read_pod(message, detail);
            if (!shard.owns(pod.uid)) return std::nullopt;
            return pod;
          }));
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    std::vector<const Source*> fresh;
    kubernetes::Selection selection;
    for (const auto& source : sources_) {
      Part& part = sources_.size() == 1 ? out : out.part(source->query().text());
      if (co_await source->judge(out, part)) {
        co_await source->publish(out, part, [this](Part& samples, const Pod& pod) {
          if (is_selected(pod)) add_pod_samples(samples, pod, detail_);
        });
        source->count(selection);
        fresh.push_back(source.get());
      }
      part.complete();
    }
    // Without fresh readings there is no check, so a check never outlives its readings.
    if (!fresh.empty()) check(out, fresh);
    selection.report(out);
  }

  [[nodiscard]] std::string target() const override { return "pods in " + scope_.text(); }

  [[nodiscard]] bool overlaps(const PodProbe& other) const {
    const bool disjoint_phases =
        !phases_.empty() && !other.phases_.empty() &&
        std::ranges::find_first_of(phases_, other.phases_) == phases_.end();
    return !disjoint_phases && scope_.overlaps(other.scope_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<PodProbe&>(predecessor);
    // The rendered lines depend on scope, detail and phases.
    if (old.scope_ == scope_ && old.detail_ == detail_ && old.phases_ == phases_) {
      sources_ = std::move(old.sources_);
    }
  }

 private:
  using Source = kubernetes::Watched<Pod>;

  [[nodiscard]] bool is_selected(const Pod& pod) const {
    return phases_.empty() || std::ranges::find(phases_, pod.phase.get()) != phases_.end();
  }

  void check(SampleSet& out, const std::vector<const Source*>& fresh) const {
    const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
    kubernetes::PodFaults faults(now.count());
    for (const Source* source : fresh) {
      source->for_each_suspect([&](const Pod& pod) {
        if (is_selected(pod)) faults.examine(pod);
      });
    }
    faults.report(out);
  }

  kubernetes::Scope scope_;
  std::vector<std::string> phases_;
  PodDetail detail_;
  std::vector<std::unique_ptr<Source>> sources_;
};

constexpr WatchingKind kWatching{.overlaps = probes_overlap<PodProbe>};
constexpr std::array<Permission, 1> kPermissions = {Permission{.group = "", .resource = "pods"}};

}  // namespace

namespace kinds {
extern const ProbeKind pod;
const ProbeKind pod = {
    .name = "pod",
    .help = "Pods of the cluster are running and do not restart.",
    .make = make_probe<PodProbe>,
    .metrics = kubernetes::kPodMetrics,
    .checks = kubernetes::kPodChecks,
    .permissions = kPermissions,
    .watching = &kWatching,
};
}  // namespace kinds

}  // namespace vitalsd
