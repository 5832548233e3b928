// PersistentVolumes. Names and labels are kube-state-metrics' (docs/metrics/storage/
// persistentvolume-metrics.md).
#include "probes/kubernetes/objects/volume_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <algorithm>
#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kVolumes{
    .group = "", .version = "v1", .plural = "persistentvolumes"};

constexpr Metric kPhase({.name = "kube_persistentvolume_status_phase",
                         .help = "Whether this is the volume's phase."},
                        "persistentvolume", "phase");
constexpr Metric kCapacity({.name = "kube_persistentvolume_capacity_bytes",
                            .unit = Unit::bytes,
                            .help = "How much the volume holds."},
                           "persistentvolume");
constexpr Metric kClaimRef({.name = "kube_persistentvolume_claim_ref",
                            .help = "The claim that the volume is for; always 1, and absent where "
                                    "it is for none."},
                           "persistentvolume", "name", "claim_namespace");
constexpr Metric kCreated({.name = "kube_persistentvolume_created",
                           .help = "When the volume was made, in Unix seconds."},
                          "persistentvolume");

constexpr Check kFailed{.name = "volume_failed",
                        .warn = {},
                        .critical = 0,
                        .help = "volumes that could not be reclaimed or have failed"};

constexpr std::array<std::string_view, 5> kPhases = {"Pending", "Available", "Bound", "Released",
                                                     "Failed"};

// Volumes are in no namespace; where only some are asked for, it is those that they claim.
std::optional<Volume> read_own(std::string_view message, const std::vector<std::string>& namespaces,
                               const Shard& shard) {
  Volume volume = read_volume(message);
  if (!shard.owns(volume.uid)) return std::nullopt;
  const bool wanted = namespaces.empty() ||
                      std::ranges::find(namespaces, volume.claim_namespace) != namespaces.end();
  if (!wanted) return std::nullopt;
  return volume;
}

class Volumes final : public WatchedSection<Volume> {
 public:
  Volumes(const Environment& environment, const Scope& scope)
      : WatchedSection(
            environment, Scope{.namespaces = {}, .selector = scope.selector}.queries(kVolumes),
            [namespaces = scope.namespaces, shard = environment.shard](std::string_view message) {
              return read_own(message, namespaces, shard);
            }) {}

 private:
  void add(Part& out, const Volume& volume) const override {
    for (const std::string_view phase : kPhases) {
      out.add(kPhase, flag(phase == volume.phase.get()), volume.name, phase);
    }
    out.add(kCapacity, volume.capacity, volume.name);
    if (!volume.claim_name.empty()) {
      out.add(kClaimRef, 1, volume.name, volume.claim_name, volume.claim_namespace);
    }
    out.add(kCreated, volume.created, volume.name);
  }

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

constexpr auto kMetrics = metric_list(kPhase, kCapacity, kClaimRef, kCreated);
constexpr std::array<const Check*, 1> kChecks = {&kFailed};

}  // namespace

constinit const SectionKind volumes = {.name = "persistentvolumes",
                                       .make = make_section<Volumes>,
                                       .metrics = kMetrics,
                                       .checks = kChecks,
                                       .in_namespaces = false};

}  // namespace vitalsd::kubernetes
