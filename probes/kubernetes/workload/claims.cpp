// PersistentVolumeClaims. Names and labels are those of kube-state-metrics
// (docs/metrics/storage/persistentvolumeclaim-metrics.md).
#include "probes/kubernetes/objects/volume_objects.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kClaims{
    .group = "", .version = "v1", .plural = "persistentvolumeclaims"};

constexpr double kPendingFor = 300;  // seconds, because provisioning on demand takes a while

template <class... Names>
consteval auto claim_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "persistentvolumeclaim", names...);
}

constexpr std::array<std::string_view, 3> kPhases = {"Pending", "Bound", "Lost"};

constexpr MetricTable kTable(
    MetricRow{claim_metric({.name = "kube_persistentvolumeclaim_status_phase",
                            .help = "Whether the claim is in this phase."},
                           "phase"),
              [](const Claim& claim, auto put) {
                for (const std::string_view phase : kPhases) {
                  put(phase == claim.phase.get(), phase);
                }
              }},
    MetricRow{claim_metric({.name = "kube_persistentvolumeclaim_info",
                            .help = "Storage class and volume of the claim; always 1."},
                           "storageclass", "volumename"),
              [](const Claim& claim, auto put) { put(1, claim.storage_class, claim.volume); }},
    MetricRow{claim_metric({.name = "kube_persistentvolumeclaim_resource_requests_storage_bytes",
                            .unit = Unit::bytes,
                            .help = "Storage that the claim requests."}),
              [](const Claim& claim) { return claim.requested; }},
    MetricRow{claim_metric({.name = "kube_persistentvolumeclaim_created",
                            .help = "When the claim was created, in Unix seconds."}),
              [](const Claim& claim) { return claim.meta.created; }});

constexpr Check kLost{
    .name = "claim_lost", .warn = {}, .critical = 0, .help = "claims whose volume is lost"};
constexpr Check kPending{.name = "claim_pending",
                         .warn = 0,
                         .critical = {},
                         .help = "claims that have been pending for five minutes"};

class Claims final : public WatchedSection<Claim> {
 public:
  Claims(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kClaims),
                       read_own(&read_claim, environment.shard)) {}

 private:
  void add(Part& out, const Claim& claim) const override {
    kTable.add(out, claim, claim.meta.namespace_name, claim.meta.name);
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

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 2> kChecks = {&kLost, &kPending};

}  // namespace

constinit const SectionKind claims = {.name = "persistentvolumeclaims",
                                      .make = make_section<Claims>,
                                      .metrics = kMetrics,
                                      .checks = kChecks,
                                      .group = ""};

}  // namespace vitalsd::kubernetes
