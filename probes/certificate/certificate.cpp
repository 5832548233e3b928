// Kind `certificate`: when the certificates of a TLS endpoint, of files or of TLS Secrets in
// Kubernetes expire. The dates are published whether or not a certificate verifies. The result of
// the verification is published separately.
#include "probes/certificate/handshake.hpp"
#include "probes/certificate/tls_secret.hpp"
#include "probes/kubernetes/watch/faulty_objects.hpp"
#include "probes/kubernetes/watch/scope.hpp"
#include "probes/kubernetes/watch/watched.hpp"
#include "probes/net/certificate_info.hpp"
#include "probes/net/offload.hpp"
#include "probes/net/options.hpp"
#include "probes/probe.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstring>
#include <fstream>
#include <limits>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include <glob.h>

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
              [](const EndpointResult& result) { return result.certificate.chain_expiry; }},
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

constexpr MetricTable kPathTable(MetricRow{
    Metric(net::kLastChainExpiry),
    [](const net::CertificateInfo& certificate) { return certificate.not_after; }});

constexpr Metric kUnreadable({.name = "cert_secret_unreadable",
                              .help = "Always 1; a TLS Secret without a readable certificate."},
                             "source");

constexpr auto kMetrics = metric_list(kCertificateTable, kEndpointTable, kPathTable, kUnreadable,
                                      kubernetes::kLastHeard, kubernetes::kSelectedObjects);

constexpr Check kUnreadableCheck{.name = "unreadable",
                                 .warn = 0,
                                 .critical = {},
                                 .help = "TLS Secrets without a readable certificate"};
constexpr Check kExpiryCheck{.name = "expires_in",
                             .unit = Unit::seconds,
                             .worse = Worse::below,
                             .warn = 30 * 86'400.0,
                             .critical = 7 * 86'400.0,
                             .help = "time until a certificate expires"};
constexpr std::array<const Check*, 3> kChecks = {&kExpiryCheck, &kUnreadableCheck,
                                                 &kubernetes::kUnmatchedCheck};

constexpr net::kubernetes::Resource kSecrets{.group = "", .version = "v1", .plural = "secrets"};

// The default thresholds are for certificates that are valid for 90 days or more. A certificate
// with a shorter lifetime is renewed with less time left than that, so its thresholds are a share
// of its lifetime.
Thresholds thresholds_of(const net::CertificateInfo& certificate) {
  constexpr double kShort = 89 * 86'400.0;
  const double lifetime = certificate.not_after - certificate.not_before;
  if (lifetime >= kShort) return {};
  return {.warn = lifetime / 4, .critical = lifetime / 12};
}

double now_unix() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

struct FileResult {
  std::string path;
  std::vector<net::CertificateInfo> certificates;
  std::optional<Failure> failure;
};

// Blocks: must run on a thread of the pool.
FileResult read_file(const std::string& path) {
  constexpr std::size_t kMaxBytes = std::size_t{4} << 20;
  FileResult result{path, {}, {}};
  errno = 0;
  std::ifstream in(path, std::ios::binary);
  std::string bytes;
  std::array<char, 16 * 1024> piece;
  while (in && bytes.size() <= kMaxBytes) {
    in.read(piece.data(), piece.size());
    bytes.append(piece.data(), static_cast<std::size_t>(in.gcount()));
  }
  if (!in.is_open() || in.bad()) {
    const int error = errno;
    result.failure =
        Failure{error == EACCES ? Reason::permission : Reason::mismatch, std::strerror(error)};
    return result;
  }
  if (bytes.size() > kMaxBytes) {
    result.failure =
        Failure{Reason::protocol, "is larger than 4 MiB, the limit for files of certificates"};
    return result;
  }
  try {
    result.certificates = net::read_certificates(bytes);
  } catch (const ProbeError& error) {
    result.failure = Failure{error.reason(), error.what()};
    return result;
  }
  if (result.certificates.empty())
    result.failure = Failure{Reason::mismatch, "contains no certificate"};
  return result;
}

struct Files {
  std::vector<FileResult> results;
  std::vector<std::string> unmatched;  // patterns that match no file
};

Files read_files(const std::vector<std::string>& patterns, const net::StopFlag& stop) {
  Files files;
  for (const std::string& pattern : patterns) {
    glob_t found{};
    const int status = glob(pattern.c_str(), 0, nullptr, &found);
    for (std::size_t i = 0; status == 0 && i < found.gl_pathc && !stop.stopped(); ++i) {
      const std::string path = found.gl_pathv[i];
      if (std::ranges::find(files.results, path, &FileResult::path) != files.results.end())
        continue;
      files.results.push_back(read_file(path));
    }
    globfree(&found);
    if (status != 0) files.unmatched.push_back(pattern);
  }
  return files;
}

class CertificateProbe final : public Probe {
 public:
  CertificateProbe(config::Node& options, const Environment& environment)
      : environment_(environment),
        endpoint_(options.find<config::Endpoint>("endpoint", "host:port of a TLS server")),
        ip_(net::read_ip(options, "endpoint", endpoint_ ? endpoint_->host : "")),
        patterns_(options.list<std::string>("files", "PEM or DER files; * and ? are allowed")),
        tls_(net::TlsOptions::read(options)) {
    if (config::Node* secrets =
            options.find_section("secrets", "TLS Secrets of the Kubernetes cluster")) {
      scope_ = kubernetes::Scope::read(*secrets);
      for (net::kubernetes::Query& query : scope_->queries(kSecrets)) {
        query.field_selector = "type=kubernetes.io/tls";
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
    if (options.has("endpoint") + options.has("files") + options.has("secrets") != 1) {
      options.error("files", "exactly one of endpoint, files and secrets must be set");
    }
    if (!endpoint_ && options.has("starttls")) options.error("starttls", "requires endpoint");
    if (!endpoint_ && options.has("ip")) options.error("ip", "requires endpoint");
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
    if (old.scope_ == scope_) secrets_ = std::move(old.secrets_);
  }

 private:
  using Secrets = kubernetes::Watched<TlsSecret>;

  asio::awaitable<void> observe_endpoint(SampleSet& out) {
    const EndpointResult result{.certificate = co_await fetch_certificate(
                                    environment_, *endpoint_, ip_, start_tls_, tls_, out),
                                .is_verified = tls_.verify};
    const std::string source = endpoint_->text();
    add(out, {result.certificate.leaf}, source);
    kEndpointTable.add(out, result, source);
    if (const auto& first = result.certificate.first_of_path) {
      kPathTable.add(out, *first);
      // An intermediate or root certificate that expires earlier than the leaf.
      if (first->not_after < result.certificate.leaf.not_after) add_check(out, *first, source);
    }
    if (result.certificate.fault) {
      out.fail(Reason::mismatch,
               "certificate verification failed: " + result.certificate.fault_text);
    }
  }

  asio::awaitable<void> observe_files(SampleSet& out) {
    out.doing("reading files");
    const auto read = [patterns = patterns_](const net::StopFlag& stop) {
      return read_files(patterns, stop);
    };
    const Files files = co_await environment_.offload.run("certificates " + target(), read);
    for (const FileResult& file : files.results) {
      Part& part = out.part(file.path);
      if (file.failure)
        part.fail(file.failure->reason, file.failure->detail);
      else
        add(part, file.certificates, file.path);
    }
    for (const std::string& pattern : files.unmatched) {
      out.part(pattern).fail(Reason::mismatch, "no such file");
    }
  }

  // Readable certificates belong to the part of their watch, so that they stay published while the
  // API server does not respond. A Secret without a certificate, such as one with only ca.crt, does
  // not fail the part: it was observed, and the dates of all other certificates are current.
  asio::awaitable<void> observe_secrets(SampleSet& out) {
    kubernetes::FaultyObjects unreadable(kUnreadableCheck);
    kubernetes::Selection selection;
    bool complete = true;
    for (const auto& source : secrets_) source->join();
    for (const auto& source : secrets_) {
      Part& part = secrets_.size() == 1 ? out : out.part(source->query().text());
      if (co_await source->judge(out, part)) {
        source->count(selection);
        source->for_each([&](const TlsSecret& secret) {
          if (secret.fault.empty()) {
            add(part, secret.certificates, secret.key());
            return;
          }
          part.add(kUnreadable, 1, secret.key());
          unreadable.add(secret.key() + " (" + secret.fault + ')');
        });
      } else {
        complete = false;
      }
      part.complete();
    }
    if (complete) unreadable.report(out);
    selection.report(out);
  }

  static void add_check(Part& part, const net::CertificateInfo& certificate,
                        const std::string& source) {
    part.check(kExpiryCheck, certificate.not_after - now_unix(),
               certificate.common_name + ", " + source, thresholds_of(certificate));
  }

  // Adds one series per name. If several certificates have the same name, the series describes the
  // one that expires first.
  static void add(Part& part, const std::vector<net::CertificateInfo>& certificates,
                  const std::string& source) {
    std::map<std::string, net::CertificateInfo> by_name;
    for (const net::CertificateInfo& certificate : certificates) {
      const auto [it, inserted] = by_name.emplace(certificate.common_name, certificate);
      if (!inserted && certificate.not_after < it->second.not_after) it->second = certificate;
    }
    for (const auto& [name, certificate] : by_name) {
      kCertificateTable.add(part, certificate, name, source);
      add_check(part, certificate, source);
    }
  }

  const Environment& environment_;
  std::optional<config::Endpoint> endpoint_;
  net::IpVersion ip_;
  std::vector<std::string> patterns_;
  net::TlsOptions tls_;
  StartTls start_tls_ = StartTls::none;
  std::optional<kubernetes::Scope> scope_;  // of Secrets
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
