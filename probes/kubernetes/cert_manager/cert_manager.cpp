// Kind `cert-manager`: when the certificates that cert-manager manages expire and are renewed, and
// whether they are ready. Names and labels are cert-manager's own (pkg/metrics); other than there,
// a certificate that was never issued has no date, so that none has expired in 1970.
#include "probes/kubernetes/objects/certificate_object.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"

#include <array>
#include <chrono>
#include <memory>
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

// To be issued takes a while.
constexpr double kNotReadyFor = 300;

#define VITALSD_MANAGED "name", "namespace", "issuer_name", "issuer_kind", "issuer_group"

constexpr Metric kExpires({.name = "certmanager_certificate_expiration_timestamp_seconds",
                           .unit = Unit::seconds,
                           .help = "When the certificate expires, in Unix time; absent where it "
                                   "has never been issued.",
                           .keep = Keep::fact},
                          VITALSD_MANAGED);
constexpr Metric kRenews({.name = "certmanager_certificate_renewal_timestamp_seconds",
                          .unit = Unit::seconds,
                          .help = "When the certificate is to be renewed, in Unix time.",
                          .keep = Keep::fact},
                         VITALSD_MANAGED);
constexpr Metric kReady({.name = "certmanager_certificate_ready_status",
                         .help = "Whether the certificate's condition Ready is so."},
                        "condition", VITALSD_MANAGED);

constexpr Check kExpiryCheck{.name = "expires_in",
                             .unit = Unit::seconds,
                             .worse = Worse::below,
                             .warn = 30 * 86'400.0,
                             .critical = 7 * 86'400.0,
                             .help = "time until a certificate expires"};
constexpr Check kNotReady{.name = "not_ready",
                          .warn = 0,
                          .critical = {},
                          .help = "certificates that have not been ready for five minutes"};

template <class M, class... Labels>
void add_sample(Part& out, const M& metric, const ManagedCertificate& certificate, double value,
                const Labels&... first) {
  out.add(metric, value, first..., certificate.name, certificate.namespace_name,
          certificate.issuer_name, certificate.issuer_kind, certificate.issuer_group);
}

void add_readiness(Part& out, const ManagedCertificate& certificate) {
  for (const std::string_view condition : {"True", "False", "Unknown"}) {
    add_sample(out, kReady, certificate, condition == certificate.ready ? 1 : 0, condition);
  }
}

void add_dates(Part& out, const ManagedCertificate& certificate, double now) {
  if (certificate.renews) add_sample(out, kRenews, certificate, *certificate.renews);
  if (!certificate.expires) return;
  add_sample(out, kExpires, certificate, *certificate.expires);
  out.check(kExpiryCheck, *certificate.expires - now, certificate.key());
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
    bool known = false;
    for (const auto& source : sources_) {
      Part& part = sources_.size() == 1 ? out : out.part(source->query().text());
      if (co_await source->judge(out, part)) {
        co_await source->publish(out, part, add_readiness);
        const std::chrono::duration<double> now =
            std::chrono::system_clock::now().time_since_epoch();
        // Facts are not for fragments: they outlast what they were read from.
        source->for_each([&](const ManagedCertificate& certificate) {
          add_dates(part, certificate, now.count());
          note_unready(certificate, now.count(), not_ready);
        });
        known = true;
      }
      part.complete();
    }
    if (known) not_ready.report(out);
  }

  [[nodiscard]] std::string target() const override { return "Certificates in " + scope_.text(); }

  [[nodiscard]] bool overlaps(const Probe& other) const override {
    return scope_.overlaps(dynamic_cast<const CertManagerProbe&>(other).scope_);
  }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<CertManagerProbe&>(predecessor);
    if (old.scope_ == scope_) sources_ = std::move(old.sources_);
  }

 private:
  using Source = kubernetes::Watched<ManagedCertificate>;

  static void note_unready(const ManagedCertificate& certificate, double now,
                           kubernetes::FaultyObjects& not_ready) {
    if (certificate.ready == "True") return;
    const auto since = certificate.ready_since ? certificate.ready_since : certificate.created;
    if (now - since.value_or(now) <= kNotReadyFor) return;
    not_ready.add(certificate.ready_reason.empty()
                      ? certificate.key()
                      : certificate.key() + " (" + certificate.ready_reason + ')');
  }

  kubernetes::Scope scope_;
  std::vector<std::unique_ptr<Source>> sources_;
};

constexpr auto kMetrics = metric_list(kExpires, kRenews, kReady, kubernetes::kLastHeard);
constexpr std::array<const Check*, 2> kChecks = {&kExpiryCheck, &kNotReady};

}  // namespace

namespace kinds {
extern const ProbeKind cert_manager;
const ProbeKind cert_manager = {
    .name = "cert-manager",
    .help = "Certificates that cert-manager manages, and when they expire.",
    .make = make_probe<CertManagerProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .first_at_once = true,
    .divides = true,
};
}  // namespace kinds

}  // namespace vitalsd
