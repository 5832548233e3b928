// ResourceQuotas. Names and labels are kube-state-metrics' (docs/metrics/policy/
// resourcequota-metrics.md).
#include "probes/kubernetes/objects/quota_object.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kQuotas{
    .group = "", .version = "v1", .plural = "resourcequotas"};

constexpr Metric kQuota({.name = "kube_resourcequota",
                         .help = "What a namespace may have of a resource (type hard), and what "
                                 "it has (type used): cores, bytes, or a number."},
                        "namespace", "resourcequota", "resource", "type");
constexpr Metric kCreated({.name = "kube_resourcequota_created",
                           .help = "When the quota was made, in Unix seconds."},
                          "namespace", "resourcequota");

constexpr Check kUsed{.name = "quota",
                      .unit = Unit::ratio,
                      .warn = 0.80,
                      .critical = 0.90,
                      .help = "used share of a namespace's quota of a resource"};

class Quotas final : public WatchedSection<Quota> {
 public:
  Quotas(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kQuotas), own(&read_quota, environment.shard)) {}

 private:
  void add(Part& out, const Quota& quota) const override {
    const auto put = [&](const Amounts& amounts, std::string_view type) {
      for (const auto& [resource, amount] : amounts) {
        out.add(kQuota, amount, quota.meta.namespace_name, quota.meta.name, resource, type);
      }
    };
    put(quota.hard, "hard");
    put(quota.used, "used");
    out.add(kCreated, quota.meta.created, quota.meta.namespace_name, quota.meta.name);
  }

  void check(Part& out, double /*now*/) const override {
    for_each([&](const Quota& quota) {
      for (const auto& [resource, amount] : quota.hard) {
        const std::optional<double> ratio = quota.used_ratio(resource);
        if (ratio) out.check(kUsed, *ratio, quota.key() + ": " + resource);
      }
    });
  }
};

constexpr auto kMetrics = metric_list(kQuota, kCreated);
constexpr std::array<const Check*, 1> kChecks = {&kUsed};

}  // namespace

constinit const SectionKind quotas = {
    .name = "resourcequotas", .make = make_section<Quotas>, .metrics = kMetrics, .checks = kChecks};

}  // namespace vitalsd::kubernetes
