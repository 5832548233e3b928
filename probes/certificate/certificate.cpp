// Kind `certificate`: when the certificates of a TLS endpoint, of files or of TLS Secrets in
// Kubernetes expire. The dates are published whether or not a certificate verifies. The result of
// the verification is published separately.
#include "probes/certificate/files.hpp"
#include "probes/certificate/handshake.hpp"
#include "probes/certificate/tls_secret.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/certificate_expiry.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/http_route.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/options.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <utility>
#include <vector>

namespace vitalsd {
namespace {

// Labels: cn, source.
constexpr MetricTable kCertificateTable(
    MetricRow{Metric({.name = "cert_expiry_timestamp",
                      .help = "When a certificate expires, in Unix time; the earliest of several "
                              "with the same name and source.",
                      .keep = Keep::fact},
                     "cn", "source"),
              [](const net::CertificateInfo& certificate) { return certificate.not_after; }},
    MetricRow{Metric({.name = "cert_not_before_timestamp",
                      .help = "When a certificate's validity begins, in Unix time.",
                      .keep = Keep::fact},
                     "cn", "source"),
              [](const net::CertificateInfo& certificate) { return certificate.not_before; }});

// The certificates that issued the leaf of a verified chain. Labels: cn, source.
constexpr MetricTable kIssuerTable(
    MetricRow{Metric({.name = "cert_issuer_expiry_timestamp",
                      .help = "When a certificate of an endpoint's verified chain, except the "
                              "leaf, expires, in Unix time.",
                      .keep = Keep::fact},
                     "cn", "source"),
              [](const net::CertificateInfo& certificate) { return certificate.not_after; }},
    MetricRow{Metric({.name = "cert_issuer_not_before_timestamp",
                      .help = "When the validity of a certificate of an endpoint's verified chain, "
                              "except the leaf, begins, in Unix time.",
                      .keep = Keep::fact},
                     "cn", "source"),
              [](const net::CertificateInfo& certificate) { return certificate.not_before; }});

struct EndpointResult {
  ServerCertificate certificate;
  bool is_verified;  // the option tls.verify
};

// Label: source.
constexpr MetricTable kEndpointTable(
    MetricRow{Metric({.name = "cert_chain_expiry_timestamp",
                      .help = "When the first certificate of the chain that an endpoint sends "
                              "expires, in Unix time.",
                      .keep = Keep::fact},
                     "source"),
              [](const EndpointResult& result) { return result.certificate.peer.sent_expiry; }},
    MetricRow{Metric({.name = "cert_verified",
                      .help = "Whether an endpoint's certificate verifies: chain, dates and name."},
                     "source"),
              [](const EndpointResult& result, const auto& put) {
                if (result.is_verified) put(!result.certificate.fault.has_value());
              }},
    MetricRow{Metric({.name = "cert_verify_fault",
                      .help = "Always 1; why an endpoint's certificate does not verify."},
                     "source", "fault"),
              [](const EndpointResult& result, const auto& put) {
                if (result.certificate.fault) put(1, fault_name(*result.certificate.fault));
              }});

constexpr Metric kUnreadable(
    {.name = "cert_secret_unreadable",
     .help =
         "Always 1; a Secret with an entry that has no readable certificate, or a damaged one."},
    "source");

constexpr auto kMetrics = metric_list(kCertificateTable, kIssuerTable, kEndpointTable,
                                      net::kTlsPeerTable, net::kVerifiedChainTable, kUnreadable,
                                      kubernetes::kLastHeard, kubernetes::kSelectedObjects);

constexpr Check kUnreadableCheck{.name = "unreadable",
                                 .warn = 0,
                                 .critical = {},
                                 .help =
                                     "Secrets with an entry that has no readable certificate, or "
                                     "a damaged one"};
// A minute, because the clocks of the issuer and of this machine may differ.
constexpr Check kNotYetValidCheck{
    .name = "not_yet_valid",
    .unit = Unit::seconds,
    .warn = {},
    .critical = 60,
    .help = "time until a certificate becomes valid, 0 if it is valid"};
constexpr Check kWeakCheck{
    .name = "weak",
    .warn = 0,
    .critical = {},
    .help =
        "certificates with an RSA key of less than 2048 bits, an EC key of less than 224 bits, "
        "a DSA key, or a signature with MD5 or SHA-1"};
constexpr std::array<const Check*, 5> kChecks = {&net::kExpiryCheck, &kNotYetValidCheck,
                                                 &kWeakCheck, &kUnreadableCheck,
                                                 &kubernetes::kUnmatchedCheck};

constexpr net::kubernetes::Resource kSecrets{.group = "", .version = "v1", .plural = "secrets"};

// A field selector has no OR. The types that it excludes are large or have no certificates.
constexpr std::string_view kOtherTypes =
    "type!=helm.sh/release.v1,type!=kubernetes.io/service-account-token,"
    "type!=kubernetes.io/dockerconfigjson";

double now_unix() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// Publishes and judges the certificates of a run: the dates by checks of their part, the keys and
// signatures by one check of the run.
class Judge {
 public:
  // Judges each certificate, and adds its dates. If several have the same name, the series describe
  // the one that expires first.
  template <class Table>
  void add(Part& part, const Table& table, std::span<const net::CertificateInfo> certificates,
           const std::string& source) {
    std::map<std::string_view, const net::CertificateInfo*> by_name;
    for (const net::CertificateInfo& certificate : certificates) {
      const auto [it, inserted] = by_name.emplace(certificate.common_name, &certificate);
      if (!inserted && certificate.not_after < it->second->not_after) it->second = &certificate;
      net::check_expiry(part, certificate, name_of(certificate, source));
      check_use(part, certificate, source);
    }
    for (const auto& [name, certificate] : by_name) table.add(part, *certificate, name, source);
  }

  // Everything except the expiry.
  void check_use(Part& part, const net::CertificateInfo& certificate, const std::string& source) {
    const std::string name = name_of(certificate, source);
    part.check(kNotYetValidCheck, std::max(0.0, certificate.not_before - now_unix()), name);
    if (!certificate.weakness.empty()) weak_.add(name + " (" + certificate.weakness + ')');
  }

  void report(Part& run) const { weak_.report(run); }

 private:
  static std::string name_of(const net::CertificateInfo& certificate, const std::string& source) {
    return certificate.common_name + ", " + source;
  }

  kubernetes::FaultyObjects weak_{kWeakCheck};
};

class CertificateProbe final : public Probe {
 public:
  CertificateProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        endpoint_(options.find<config::Endpoint>("endpoint", "host:port of a TLS server")),
        route_(net::HttpRoute::read(options)),
        patterns_(
            options.list<std::string>("files", "PEM, DER or PKCS#7 files; * and ? are allowed")),
        tls_(net::TlsOptions::read(options)) {
    if (config::Node* secrets =
            options.find_section("secrets", "TLS Secrets of the Kubernetes cluster")) {
      scope_ = kubernetes::Scope::read(*secrets);
      opaque_ = secrets->get<bool>(
          "opaque", false, "also read the entries *.crt, *.cer and *.pem of Opaque Secrets");
      for (net::kubernetes::Query& query : scope_->queries(kSecrets)) {
        query.field_selector = opaque_ ? std::string(kOtherTypes) : "type=kubernetes.io/tls";
        secrets_.push_back(
            std::make_unique<Secrets>(environment, std::move(query), &read_tls_secret));
      }
    }
    const std::string protocol =
        options.choice("starttls", {"none", "ftp", "imap", "pop3", "postgres", "smtp"},
                       "protocol in which the client requests TLS");
    constexpr std::array<std::pair<std::string_view, StartTls>, 5> kProtocols = {{
        {"ftp", StartTls::ftp},
        {"imap", StartTls::imap},
        {"pop3", StartTls::pop3},
        {"postgres", StartTls::postgres},
        {"smtp", StartTls::smtp},
    }};
    for (const auto& [name, value] : kProtocols) {
      if (protocol == name) start_tls_ = value;
    }
    if (options.has("files") && patterns_.empty()) options.error("files", "must not be empty");
    if (options.has("endpoint") + options.has("files") + options.has("secrets") != 1) {
      options.error("files", "exactly one of endpoint, files and secrets must be set");
    }
    if (!endpoint_ && options.has("starttls")) options.error("starttls", "requires endpoint");
    for (const std::string_view key : {"ip", "proxy"}) {
      if (!endpoint_ && options.has(key)) options.error(key, "requires endpoint");
    }
    if (endpoint_) net::check_ip(options, route_.target_ip(), "endpoint", endpoint_->host);
  }

  asio::awaitable<void> observe(SampleSet& out) override {
    if (endpoint_) {
      co_await observe_endpoint(out);
    } else if (scope_) {
      co_await observe_secrets(out);
    } else {
      co_await observe_files(out);
    }
  }

  [[nodiscard]] std::string target() const override {
    if (endpoint_) return endpoint_->text();
    if (scope_) return "TLS Secrets in " + scope_->text();
    std::string text;
    for (const std::string& pattern : patterns_) text += (text.empty() ? "" : " ") + pattern;
    return text;
  }
  [[nodiscard]] std::string endpoint() const override { return endpoint_ ? endpoint_->text() : ""; }

  void inherit(Probe& predecessor) override {
    auto& old = dynamic_cast<CertificateProbe&>(predecessor);
    if (old.scope_ == scope_ && old.opaque_ == opaque_) secrets_ = std::move(old.secrets_);
  }

 private:
  using Secrets = kubernetes::Watched<TlsSecret>;

  asio::awaitable<void> observe_endpoint(SampleSet& out) {
    const EndpointResult result{.certificate = co_await fetch_certificate(
                                    environment_, *endpoint_, route_, start_tls_, tls_, out),
                                .is_verified = tls_.verify};
    const auto& [peer, sent, path, fault, fault_text] = result.certificate;
    const std::string source = endpoint_->text();
    Judge judge;
    judge.add(out, kCertificateTable, std::span(sent).first(1), source);
    kEndpointTable.add(out, result, source);
    net::kTlsPeerTable.add(out, peer);
    if (path.empty()) {
      for (const net::CertificateInfo& certificate : std::span(sent).subspan(1))
        judge.check_use(out, certificate, source);
    } else {
      net::kVerifiedChainTable.add(out, net::first_to_expire(path));
      judge.add(out, kIssuerTable, std::span(path).subspan(1), source);
    }
    judge.report(out);
    if (fault) out.fail(Reason::mismatch, "certificate verification failed: " + fault_text);
  }

  asio::awaitable<void> observe_files(SampleSet& out) {
    out.doing("reading files");
    const auto read = [patterns = patterns_](const net::StopFlag& stop) {
      return read_files(patterns, stop);
    };
    const Files files = co_await environment_.offload.run("certificates " + target(), read);
    Judge judge;
    bool is_any_read = false;
    for (const FileResult& file : files.results) {
      Part& part = out.part(file.path);
      if (file.failure) part.fail(file.failure->reason, file.failure->detail);
      judge.add(part, kCertificateTable, file.certificates, file.path);
      is_any_read = is_any_read || !file.certificates.empty();
    }
    if (is_any_read) judge.report(out);
    for (const std::string& pattern : files.unmatched) {
      out.part(pattern).fail(Reason::mismatch, "no such file");
    }
  }

  // Readable certificates belong to the part of their watch, so that they stay published while the
  // API server does not respond. A Secret without a certificate does not fail the part: it was
  // observed, and the dates of all other certificates are current.
  asio::awaitable<void> observe_secrets(SampleSet& out) {
    Judge judge;
    kubernetes::FaultyObjects unreadable(kUnreadableCheck);
    kubernetes::Selection selection;
    bool is_any_read = false;
    for (const auto& source : secrets_) source->join();
    for (const auto& source : secrets_) {
      Part& part = secrets_.size() == 1 ? out : out.part(source->query().text());
      if (co_await source->judge(out, part)) {
        is_any_read = true;
        source->count(selection);
        source->for_each([&](const TlsSecret& secret) {
          for (const TlsSecret::Entry& entry : secret.entries)
            judge.add(part, kCertificateTable, entry.certificates, secret.source(entry));
          if (secret.fault.empty()) return;
          part.add(kUnreadable, 1, secret.key());
          unreadable.add(secret.key() + " (" + secret.fault + ')');
        });
      }
      part.complete();
    }
    if (is_any_read) {
      judge.report(out);
      unreadable.report(out);
    }
    selection.report(out);
  }

  const Environment& environment_;
  std::optional<config::Endpoint> endpoint_;
  net::HttpRoute route_;
  std::vector<std::string> patterns_;
  net::TlsOptions tls_;
  StartTls start_tls_ = StartTls::none;
  std::optional<kubernetes::Scope> scope_;  // of Secrets
  bool opaque_ = false;
  std::vector<std::unique_ptr<Secrets>> secrets_;
};

constexpr std::array<Permission, 1> kPermissions = {
    Permission{.group = "", .resource = "secrets", .within = "secrets"}};

}  // namespace

namespace kinds {
extern const ProbeKind certificate;
const ProbeKind certificate = {
    .name = "certificate",
    .help = "When the certificates of TLS endpoints, files and Secrets expire.",
    .make = make_probe<CertificateProbe>,
    .metrics = kMetrics,
    .checks = kChecks,
    .documented_series = "cert_expiry_timestamp",
    .permissions = kPermissions,
};
}  // namespace kinds

}  // namespace vitalsd
