// PersistentVolumeClaims. Names and labels are kube-state-metrics' (docs/metrics/storage/
// persistentvolumeclaim-metrics.md).
#include "probes/kubernetes/objects/volume_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kClaims{
    .group = "", .version = "v1", .plural = "persistentvolumeclaims"};

// A volume that is made on demand takes a while.
constexpr double kPendingFor = 300;

#define VITALSD_CLAIM "namespace", "persistentvolumeclaim"

constexpr Metric kPhase({.name = "kube_persistentvolumeclaim_status_phase",
                         .help = "Whether this is the claim's phase."},
                        VITALSD_CLAIM, "phase");
constexpr Metric kInfo({.name = "kube_persistentvolumeclaim_info",
                        .help = "The claim's class and the volume that it has; always 1."},
                       VITALSD_CLAIM, "storageclass", "volumename");
constexpr Metric kRequested({.name = "kube_persistentvolumeclaim_resource_requests_storage_bytes",
                             .unit = Unit::bytes,
                             .help = "How much the claim asks for."},
                            VITALSD_CLAIM);
constexpr Metric kCreated({.name = "kube_persistentvolumeclaim_created",
                           .help = "When the claim was made, in Unix seconds."},
                          VITALSD_CLAIM);

constexpr Check kLost{
    .name = "claim_lost", .warn = {}, .critical = 0, .help = "claims whose volume is gone"};
constexpr Check kPending{.name = "claim_pending",
                         .warn = 0,
                         .critical = {},
                         .help = "claims that have had no volume for five minutes"};

constexpr std::array<std::string_view, 3> kPhases = {"Pending", "Bound", "Lost"};

class Claims final : public WatchedSection<Claim> {
 public:
  Claims(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kClaims), own(&read_claim, environment.shard)) {}

 private:
  void add(Part& out, const Claim& claim) const override {
    const auto put = [&](const auto& metric, const auto& value, const auto&... labels) {
      out.add(metric, value, claim.meta.namespace_name, claim.meta.name, labels...);
    };
    for (const std::string_view phase : kPhases) {
      put(kPhase, flag(phase == claim.phase.get()), phase);
    }
    put(kInfo, 1.0, claim.storage_class, claim.volume);
    put(kRequested, claim.requested);
    put(kCreated, claim.meta.created);
  }

  void check(Part& out, double now) const override {
    FaultyObjects lost(kLost);
    FaultyObjects pending(kPending);
    for_each([&](const Claim& claim) {
      if (claim.phase.get() == "Lost") lost.add(claim.key());
      if (claim.phase.get() == "Pending" && now - claim.meta.created.value_or(now) > kPendingFor) {
        pending.add(claim.key());
      }
    });
    lost.report(out);
    pending.report(out);
  }
};

constexpr auto kMetrics = metric_list(kPhase, kInfo, kRequested, kCreated);
constexpr std::array<const Check*, 2> kChecks = {&kLost, &kPending};

}  // namespace

constinit const SectionKind claims = {.name = "persistentvolumeclaims",
                                      .make = make_section<Claims>,
                                      .metrics = kMetrics,
                                      .checks = kChecks};

}  // namespace vitalsd::kubernetes
