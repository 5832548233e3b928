// ResourceQuotas. Names and labels are those of kube-state-metrics
// (docs/metrics/policy/resourcequota-metrics.md).
#include "probes/kubernetes/objects/quota_object.hpp"
#include "probes/kubernetes/workload/section.hpp"

#include <array>

namespace vitalsd::kubernetes {
namespace {

constexpr net::kubernetes::Resource kQuotas{
    .group = "", .version = "v1", .plural = "resourcequotas"};

template <class... Names>
consteval auto quota_metric(const MetricSpec& spec, const Names&... names) {
  return Metric(spec, "namespace", "resourcequota", names...);
}

template <class Put>
void put_amounts(const Amounts& amounts, std::string_view type, const Put& put) {
  for (const auto& [resource, amount] : amounts) put(amount, resource, type);
}

constexpr MetricTable kTable(
    MetricRow{quota_metric({.name = "kube_resourcequota",
                            .help = "Limit (type hard) and use (type used) of a resource in the "
                                    "namespace: cores, bytes, or a count."},
                           "resource", "type"),
              [](const Quota& quota, auto put) {
                put_amounts(quota.hard, "hard", put);
                put_amounts(quota.used, "used", put);
              }},
    MetricRow{quota_metric({.name = "kube_resourcequota_created",
                            .help = "When the quota was created, in Unix seconds."}),
              [](const Quota& quota) { return quota.meta.created; }});

constexpr Check kUsed{.name = "quota",
                      .unit = Unit::ratio,
                      .warn = 0.80,
                      .critical = 0.90,
                      .help = "use of a resource over its quota, in each namespace"};

class Quotas final : public WatchedSection<Quota> {
 public:
  Quotas(const Environment& environment, const Scope& scope)
      : WatchedSection(environment, scope.queries(kQuotas),
                       read_own(&read_quota, environment.shard)) {}

 private:
  void add(Part& out, const Quota& quota) const override {
    kTable.add(out, quota, quota.meta.namespace_name, quota.meta.name);
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

constexpr auto kMetrics = metric_list(kTable);
constexpr std::array<const Check*, 1> kChecks = {&kUsed};

}  // namespace

constinit const SectionKind quotas = {.name = "resourcequotas",
                                      .make = make_section<Quotas>,
                                      .metrics = kMetrics,
                                      .checks = kChecks,
                                      .group = ""};

}  // namespace vitalsd::kubernetes
