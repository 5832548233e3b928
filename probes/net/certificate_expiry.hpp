// The dates of a verified chain, and the check of the time until a certificate expires, for the
// kinds that observe TLS servers and certificates.
#pragma once

#include "exporter/model/check.hpp"
#include "exporter/model/metric.hpp"
#include "exporter/model/metric_table.hpp"
#include "exporter/model/sample_set.hpp"
#include "probes/net/certificate_info.hpp"

#include <algorithm>
#include <string>
#include <vector>

namespace vitalsd::net {

inline constexpr Check kExpiryCheck{.name = "expires_in",
                                    .unit = Unit::seconds,
                                    .worse = Worse::below,
                                    .warn = 30 * 86'400.0,
                                    .critical = 7 * 86'400.0,
                                    .help = "time until a certificate expires"};

/// The thresholds for a certificate that is due for renewal when `left` seconds of its lifetime are
/// left: they are never exceeded if it is renewed in time.
constexpr Thresholds thresholds_of_renewal(double left) {
  return {.warn = std::min(*kExpiryCheck.warn, left * 3 / 4),
          .critical = std::min(*kExpiryCheck.critical, left / 4)};
}

/// The thresholds for a certificate of which only the lifetime in seconds is known. The default
/// thresholds are for certificates that are valid for 90 days or more. One with a shorter lifetime
/// is usually renewed when a third of it is left. One that ends before it begins is never valid.
constexpr Thresholds thresholds_of_lifetime(double lifetime) {
  constexpr double kShort = 89 * 86'400.0;
  return lifetime > 0 && lifetime < kShort ? thresholds_of_renewal(lifetime / 3) : Thresholds{};
}

/// Judges the time until `certificate` expires by its lifetime. `object` describes it.
void check_expiry(Part& part, const CertificateInfo& certificate, const std::string& object);

/// The certificate that expires first. Servers may also send certificates that no client needs, so
/// this is read from the verified `chain`, which must not be empty.
const CertificateInfo& first_to_expire(const std::vector<CertificateInfo>& chain);

/// Of the certificate of a verified chain that expires first. The first name is that of
/// blackbox_exporter.
inline constexpr MetricTable kVerifiedChainTable(
    MetricRow{Metric({.name = "probe_ssl_last_chain_expiry_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the first certificate of the verified chain expires, in Unix "
                              "time; absent if the chain does not verify.",
                      .keep = Keep::fact}),
              [](const CertificateInfo& first) { return first.not_after; }},
    MetricRow{Metric({.name = "probe_ssl_last_chain_not_before_timestamp_seconds",
                      .unit = Unit::seconds,
                      .help = "When the validity of that certificate begins, in Unix time.",
                      .keep = Keep::fact}),
              [](const CertificateInfo& first) { return first.not_before; }});

}  // namespace vitalsd::net
