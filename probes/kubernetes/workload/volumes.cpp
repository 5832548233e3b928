// PersistentVolumes. Names and labels are those of kube-state-metrics
// (docs/metrics/storage/persistentvolume-metrics.md).
#include "probes/kubernetes/objects/volume_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kVolumes{
    .group = "", .version = "v1", .plural = "persistentvolumes"};

template <class... Names>
consteval auto volume_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "persistentvolume", names...);
}

constexpr std::array<std::string_view, 5> kPhases = {"Pending", "Available", "Bound", "Released",
                                                     "Failed"};

constexpr MetricTable kTable(
    MetricRow{volume_metric({.name = "kube_persistentvolume_status_phase",
                             .help = "Whether the volume is in this phase."},
                            "phase"),
              [](const Volume& volume, auto put) {
                for (const std::string_view phase : kPhases) {
                  put(phase == volume.phase.get(), phase);
                }
              }},
    MetricRow{volume_metric({.name = "kube_persistentvolume_capacity_bytes",
                             .unit = Unit::bytes,
                             .help = "Capacity of the volume."}),
              [](const Volume& volume) { return volume.capacity; }},
    MetricRow{volume_metric({.name = "kube_persistentvolume_claim_ref",
                             .help = "The claim that the volume references; always 1, absent "
                                     "without a claim."},
                            "name", "claim_namespace"),
              [](const Volume& volume, auto put) {
                if (!volume.claim_name.empty()) put(1, volume.claim_name, volume.claim_namespace);
              }},
    MetricRow{volume_metric({.name = "kube_persistentvolume_created",
                             .help = "When the volume was created, in Unix seconds."}),
              [](const Volume& volume) { return volume.created; }});

constexpr Check kFailed{.name = "volume_failed",
                        .warn = {},
                        .critical = 0,
                        .help = "failed volumes, including those that could not be reclaimed"};

// Volumes are not in a namespace. If namespaces are configured, only volumes that reference a claim
// in one of them are kept.
std::optional<Volume> read_own_volume(std::string_view message,
                                      const std::vector<std::string>& namespaces,
                                      const Shard& shard) {
  Volume volume = read_volume(message);
  if (!shard.owns(volume.uid)) return std::nullopt;
  const bool selected = namespaces.empty() ||
                        std::ranges::find(namespaces, volume.claim_namespace) != namespaces.end();
  if (!selected) return std::nullopt;
  return volume;
}

class Volumes final : public WatchedSection<Volume> {
 public:
  Volumes(const Environment& environment, const Scope& scope)
      : WatchedSection(
            environment, Scope{.namespaces = {}, .selector = scope.selector}.queries(kVolumes),
            [namespaces = scope.namespaces, shard = environment.shard](std::string_view message) {
              return read_own_volume(message, namespaces, shard);
            }) {}

 private:
  void add(Part& out, const Volume& volume) const override { kTable.add(out, volume, volume.name); }

  void check(Part& out, double /*now*/) const override {
    FaultyObjects failed(kFailed);
    for_each([&](const Volume& volume) {
      if (volume.phase.get() != "Failed") return;
      const std::string& reason = volume.reason.get();
      failed.add(reason.empty() ? volume.name : volume.name + " (" + reason + ')');
    });
    failed.report(out);
  }
};

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 1> kChecks = {&kFailed};

}  // namespace

constinit const SectionKind volumes = {.name = "persistentvolumes",
                                       .make = make_section<Volumes>,
                                       .metrics = kMetrics,
                                       .checks = kChecks,
                                       .group = "",
                                       .is_namespaced = false};

}  // namespace vitalsd::kubernetes
