// Kind `cert-manager`: expiry, renewal and readiness of the certificates that cert-manager manages.
// Names and labels are those of cert-manager (pkg/metrics). There is one difference: a certificate
// that was never issued has no dates here, but cert-manager reports 0, which means an expiry in
// 1970.
#include "probes/kubernetes/objects/certificate_object.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/certificate_expiry.hpp"

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

using kubernetes::ManagedCertificate;

constexpr net::kubernetes::Resource kCertificates{.group = "cert-manager.io",
                                                  .version = "v1",
                                                  .plural = "certificates",
                                                  .format = net::kubernetes::Format::json};

constexpr double kNotReadyFor = 300;  // seconds, because issuing takes a while

constexpr std::array<std::string_view, 3> kStatuses = {"True", "False", "Unknown"};

consteval auto date_metric(const MetricSpec& spec) {
  return Metric(spec, "name", "namespace", "issuer_name", "issuer_kind", "issuer_group");
}

// Facts outlive the objects that they are read from, so they are samples of the run and not part of
// a rendered fragment.
constexpr MetricTable kDates(
    MetricRow{
        date_metric({.name = "certmanager_certificate_expiration_timestamp_seconds",
                     .unit = Unit::seconds,
                     .help = "When the certificate expires, in Unix seconds; absent if it was "
                             "never issued.",
                     .keep = Keep::fact}),
        [](const ManagedCertificate& certificate) { return certificate.expires; }},
    MetricRow{date_metric({.name = "certmanager_certificate_renewal_timestamp_seconds",
                           .unit = Unit::seconds,
                           .help = "When the certificate is due for renewal, in Unix seconds.",
                           .keep = Keep::fact}),
              [](const ManagedCertificate& certificate) { return certificate.renews; }});

constexpr MetricTable kReadiness(MetricRow{
    Metric({.name = "certmanager_certificate_ready_status",
            .help = "Whether the certificate's Ready condition has this status."},
           "condition", "name", "namespace", "issuer_name", "issuer_kind", "issuer_group"),
    [](const ManagedCertificate& certificate, auto put) {
      for (const std::string_view status : kStatuses) {
        put(status == certificate.ready, status, certificate.name, certificate.namespace_name,
            certificate.issuer_name, certificate.issuer_kind, certificate.issuer_group);
      }
    }});

constexpr Check kNotReady{.name = "not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "certificates that have not been ready for five minutes"};

Thresholds thresholds_of(const ManagedCertificate& certificate) {
  if (!certificate.expires || !certificate.renews) return {};
  return net::thresholds_of_renewal(*certificate.expires - *certificate.renews);
}

void add_dates(Part& out, const ManagedCertificate& certificate, double now) {
  kDates.add(out, certificate, certificate.name, certificate.namespace_name,
             certificate.issuer_name, certificate.issuer_kind, certificate.issuer_group);
  if (certificate.expires) {
    out.check(net::kExpiryCheck, *certificate.expires - now, certificate.key(),
              thresholds_of(certificate));
  }
}

class CertManagerProbe final : public Probe {
 public:
  CertManagerProbe(config::Node& options, const Environment& environment)
      : scope_(kubernetes::Scope::read(options)) {
    for (net::kubernetes::Query& query : scope_.queries(kCertificates)) {
      sources_.push_back(std::make_unique<Source>(
          environment, std::move(query),
          [shard = environment.shard](std::string_view json) -> std::optional<ManagedCertificate> {
            ManagedCertificate certificate = kubernetes::read_managed_certificate(json);
            if (!shard.owns(certificate.uid)) return std::nullopt;
            return certificate;
          }));
    }
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    for (const auto& source : sources_) source->join();
    kubernetes::FaultyObjects not_ready(kNotReady);
    kubernetes::Selection selection;
    bool any_fresh = false;
    for (const auto& source : sources_) {
      Part& part = sources_.size() == 1 ? out : out.part(source->query().text());
      if (co_await source->judge(out, part)) {
        co_await source->publish(out, part,
                                 [](Part& samples, const ManagedCertificate& certificate) {
                                   kReadiness.add(samples, certificate);
                                 });
        const std::chrono::duration<double> now =
            std::chrono::system_clock::now().time_since_epoch();
        source->for_each([&](const ManagedCertificate& certificate) {
          add_dates(part, certificate, now.count());
          check_readiness(certificate, now.count(), not_ready);
        });
        source->count(selection);
        any_fresh = true;
      }
      part.complete();
    }
    if (any_fresh) not_ready.report(out);
    selection.report(out);
  }

  [[nodiscard]] std::string target() const override { return "Certificates in " + scope_.text(); }

  [[nodiscard]] bool overlaps(const CertManagerProbe& other) const {
    return scope_.overlaps(other.scope_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<CertManagerProbe&>(predecessor);
    if (old.scope_ == scope_) sources_ = std::move(old.sources_);
  }

 private:
  using Source = kubernetes::Watched<ManagedCertificate>;

  static void check_readiness(const ManagedCertificate& certificate, double now,
                              kubernetes::FaultyObjects& not_ready) {
    if (certificate.ready == "True") return;
    const std::optional<double> since =
        certificate.ready_since ? certificate.ready_since : certificate.created;
    if (now - since.value_or(now) <= kNotReadyFor) return;
    not_ready.add(certificate.ready_reason.empty()
                      ? certificate.key()
                      : certificate.key() + " (" + certificate.ready_reason + ')');
  }

  kubernetes::Scope scope_;
  std::vector<std::unique_ptr<Source>> sources_;
};

constexpr auto kMetrics =
    metric_list(kDates, kReadiness, kubernetes::kLastHeard, kubernetes::kSelectedObjects);
constexpr std::array<const Check*, 3> kChecks = {&net::kExpiryCheck, &kNotReady,
                                                 &kubernetes::kUnmatchedCheck};

constexpr WatchingKind kWatching{.overlaps = probes_overlap<CertManagerProbe>};
constexpr std::array<Permission, 1> kPermissions = {
    Permission{.group = "cert-manager.io", .resource = "certificates"}};

}  // namespace

namespace kinds {
extern const ProbeKind cert_manager;
const ProbeKind cert_manager = {
    .name = "cert-manager",
    .help = "Certificates that cert-manager manages are ready and not about to expire.",
    .make = make_probe<CertManagerProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .permissions = kPermissions,
    .watching = &kWatching,
};
}  // namespace kinds

}  // namespace vitalsd
